-- Put one message at the end of one queue, unless the queue is full.
--
-- KEYS    1 queue
--         2 sender: the number of the last message that it put, by which a repeated send is known
--         3 message
--         4 messages_count of the channel       5 messages_count of all channels
--         6 channel_full_count of the channel   7 channel_full_count of all channels
--         8 notes: messages that were put into the empty queue, and may be handed to a blocking pop at once; the last
--           100 or more, newest first, for reclaim.lua
-- ARGV    1 body
--         2 life of the message, ms             3 life of the queue, ms
--         4 capacity
--         5 what a full queue adds to channel_full_count: 0 or 1
--         6 life of the channel's counters, s   7 life of the counters of all channels, s
--         8 life of the sender's key, ms        9 number of the message: higher each time
-- answer  1 sent, now or before; 0 full

local before = redis.call('GET', KEYS[2])
if before and tonumber(string.match(before, '%d+')) >= tonumber(ARGV[9]) then
    return 1
end

local function count(channel_key, global_key, amount)
    redis.call('INCRBY', channel_key, amount)
    redis.call('EXPIRE', channel_key, ARGV[6])
    redis.call('INCRBY', global_key, amount)
    redis.call('EXPIRE', global_key, ARGV[7])
end

local length = redis.call('LLEN', KEYS[1])
if length >= tonumber(ARGV[4]) then
    if ARGV[5] == '1' then
        count(KEYS[6], KEYS[7], 1)
    end
    return 0
end

redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('RPUSH', KEYS[1], KEYS[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if length == 0 then
    if redis.call('LPUSH', KEYS[8], KEYS[3]) > 200 then
        redis.call('LTRIM', KEYS[8], 0, 99)
    end
    redis.call('PEXPIRE', KEYS[8], ARGV[3])
end
redis.call('SET', KEYS[2], ARGV[9], 'PX', ARGV[8])
count(KEYS[4], KEYS[5], 1)
return 1
