-- End a blocking pop that waits on a list of its own too, where the server has no CLIENT UNBLOCK.
--
-- KEYS    1 that list
-- ARGV    1 its life, ms, where the pop has ended meanwhile
-- answer  the length of the list

local length = redis.call('LPUSH', KEYS[1], '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return length
