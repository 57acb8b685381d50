-- Put one message at the end of one queue, unless the queue is full.
--
-- KEYS    1 queue
--         2 message
--         3 messages_count of the channel       4 messages_count of all channels
--         5 channel_full_count of the channel   6 channel_full_count of all channels
-- ARGV    1 body
--         2 life of the message, ms             3 life of the queue, ms
--         4 capacity
--         5 what a full queue adds to channel_full_count: 0 or 1
--         6 life of the channel's counters, s   7 life of the counters of all channels, s
-- answer  1 sent, 0 full

local function count(channel_key, global_key, amount)
    redis.call('INCRBY', channel_key, amount)
    redis.call('EXPIRE', channel_key, ARGV[6])
    redis.call('INCRBY', global_key, amount)
    redis.call('EXPIRE', global_key, ARGV[7])
end

if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    if ARGV[5] == '1' then
        count(KEYS[5], KEYS[6], 1)
    end
    return 0
end

-- A message key is used once: where it stands, this is a send repeated after its answer was lost.
if redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2], 'NX') then
    redis.call('RPUSH', KEYS[1], KEYS[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    count(KEYS[3], KEYS[4], 1)
end
return 1
