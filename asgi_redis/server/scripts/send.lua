-- Put one message at the end of its queue, unless the queue is full.
--
-- KEYS   1 queue
--        2 messages_count of the channel      3 messages_count of all channels
--        4 session                            5 message
-- ARGV   1 number of the call
--        2 capacity
--        3 life of the message, ms            4 life of the session's number, ms
--        5 life of the channel's counters, s  6 life of the counters of all channels, s
--        7 1: renew these lives               8 1: count in channel_full_count if the queue is full
--        9 body
-- reply  1 sent, now or by the same call before; 0 full
--
-- Also written: the channel_full_counts, and queue#noted.

-- Counting up and comparing notes the number and tells what it was before. A number that is not new belongs to a call
-- that was done before its reply was lost, or that the network delivers late.
local number = tonumber(ARGV[1])
local noted = redis.call('INCR', KEYS[4])
if noted > number then
    redis.call('DECR', KEYS[4])
    return 1
elseif noted < number then
    redis.call('SET', KEYS[4], number, 'PX', ARGV[4])
end

local function count(key, life)
    if redis.call('INCRBY', key, 1) == 1 or ARGV[7] == '1' then
        redis.call('EXPIRE', key, life)
    end
end

local queue, message = KEYS[1], KEYS[5]
local length = redis.call('LLEN', queue)
if length >= tonumber(ARGV[2]) then
    redis.call('DECR', KEYS[4])
    if ARGV[8] == '1' then
        count((string.gsub(KEYS[2], 'messages_count$', 'channel_full_count')), ARGV[5])
        count((string.gsub(KEYS[3], 'messages_count$', 'channel_full_count')), ARGV[6])
    end
    return 0
end

redis.call('SET', message, ARGV[9], 'PX', ARGV[3])
redis.call('RPUSH', queue, message)
redis.call('PEXPIRE', queue, ARGV[3] + 1000)
if length == 0 then
    if redis.call('LPUSH', queue .. '#noted', message) > 200 then
        redis.call('LTRIM', queue .. '#noted', 0, 99)
    end
    redis.call('PEXPIRE', queue .. '#noted', ARGV[3] + 1000)
end
count(KEYS[2], ARGV[5])
count(KEYS[3], ARGV[6])
return 1
