-- Take a channel out of a group.
--
-- KEYS   1 group
-- ARGV   1 channel
-- reply  1 it was a member, 0 it was none

return redis.call('ZREM', KEYS[1], ARGV[1])
