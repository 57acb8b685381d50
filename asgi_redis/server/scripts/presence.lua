-- Record that a process receives here.
--
-- KEYS   1 list of the processes       2 record of this one
-- ARGV   1 its name    2 now, s since the epoch    3 the record    4 its life, s
-- reply  1

redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
-- Clocks may differ by some hours; a process that has gone is left out by its record.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2] - 86400)
redis.call('EXPIRE', KEYS[1], 86400)
return 1
