-- Take the body of a message that a blocking pop has brought.
--
-- KEYS    1 message
-- answer  body, or nil where it has expired

local body = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return body
