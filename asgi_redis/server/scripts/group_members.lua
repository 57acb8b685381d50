-- Drop the members of a group that joined too long ago, and list the others.
--
-- KEYS   1 group
-- ARGV   1 the latest time of joining that is too long ago, s since the epoch
-- reply  the channels in one text, separated by NUL, in the order in which they were last added

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return table.concat(redis.call('ZRANGE', KEYS[1], 0, -1), '\0')
