-- Count messages that were dropped.
--
-- KEYS   1 a counter of all channels; then the same counter of some queues
-- ARGV   1 life of the channels' counters, s    2 life of the counter of all channels, s
--        then, for each queue, how many messages
-- reply  how many were counted

local all = 0
for i = 2, #KEYS do
    redis.call('INCRBY', KEYS[i], ARGV[i + 1])
    redis.call('EXPIRE', KEYS[i], ARGV[1])
    all = all + ARGV[i + 1]
end
redis.call('INCRBY', KEYS[1], all)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return all
