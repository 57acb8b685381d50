-- Tell whether the server still has the data that it had, and whether it takes writes.
--
-- KEYS   1 origin
-- ARGV   1 random text, for a server that has none    2 life, ms
-- reply  the origin; it differs from the one before if the server has lost its data

-- The first write does not need memory, so it fails on a replica, but not if Redis is out of memory.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local origin = redis.call('GET', KEYS[1])
if not origin then
    redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return origin or ARGV[1]
