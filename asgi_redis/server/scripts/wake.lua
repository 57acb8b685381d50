-- End a blocking pop by a push to the list of its own on which it waits too.
--
-- KEYS   1 that list
-- ARGV   1 its life, ms, if the pop has ended by itself
-- reply  the length of the list

-- There is nothing to delete, but even if Redis is out of memory, it lets a script go on that has already written.
redis.call('DEL', KEYS[1])
local length = redis.call('LPUSH', KEYS[1], '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return length
