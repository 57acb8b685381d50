-- Make a channel a member of a group, or renew its membership.
--
-- KEYS   1 group
-- ARGV   1 time of joining, s since the epoch
--        2 channel
--        3 life of the group, s
-- reply  1 new member, 0 renewed

local added = redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return added
