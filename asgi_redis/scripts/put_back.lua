-- Put a message that was taken, but that nobody got, back to the head of its queue.
--
-- KEYS    1 queue
--         2 message
-- ARGV    1 body
--         2 life of the message, ms    3 life of the queue, ms
-- answer  the length of the queue

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local length = redis.call('LPUSH', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return length
