--!df flags=allow-undeclared-keys
-- Put one message at the end of its queue, unless the queue is full.
--
-- KEYS   1 queue
--        2 messages_count of the channel      3 messages_count of all channels
--        4 session                            5 message
-- ARGV   1 number of the call: this one is noted if the message is sent, one more if it is not
--        2 capacity
--        3 life of the message, ms    4 life of the queue, ms    5 life of the session's number, ms
--        6 life of the channel's counters and of the counters of all channels, s, and 1 if a full queue is counted,
--          else 0: three numbers in one text, because they are rarely needed
--        7 1 if the lives of the counters are due to be renewed, else nothing
--        8 body; none if it is large: then it was stored as message#body before
-- reply  1 sent, 0 full; now, or by the same call before
--
-- Also written: the channel_full_counts, queue#noted, and message#body.

-- Counting up and comparing notes the number and tells what it was before. A number that is not new belongs to a call
-- that was done before its reply was lost, or that the network delivers late.
local call = redis.call
local queue, session, message = KEYS[1], KEYS[4], KEYS[5]
local number = tonumber(ARGV[1])
local noted = call('INCR', session)
if noted > number then
    call('DECR', session)
    return noted - 1 == number + 1 and 0 or 1
elseif noted < number then
    call('SET', session, number, 'PX', ARGV[5])
end

local function renew(channel_key, all_key)
    local channel_life, all_life = string.match(ARGV[6], '^(%d+) (%d+)')
    call('EXPIRE', channel_key, channel_life)
    call('EXPIRE', all_key, all_life)
end

local body = ARGV[8]
if not body then
    local renamed = redis.pcall('RENAME', message .. '#body', message)
    if renamed.err then
        call('INCR', session)
        return redis.error_reply('ERR the message was evicted before it was sent: ' .. renamed.err)
    end
end

local length = call('RPUSH', queue, message)
if length > tonumber(ARGV[2]) then
    call('LTRIM', queue, 0, -2)
    call('INCR', session)
    call('DEL', message)
    if string.sub(ARGV[6], -1) == '1' then
        local channel_key = string.gsub(KEYS[2], 'messages_count$', 'channel_full_count')
        local all_key = string.gsub(KEYS[3], 'messages_count$', 'channel_full_count')
        call('INCR', channel_key)
        call('INCR', all_key)
        renew(channel_key, all_key)
        if ARGV[7] == '1' then
            renew(KEYS[2], KEYS[3])
        end
    end
    return 0
end

if body then
    call('SET', message, body, 'PX', ARGV[3])
end
call('PEXPIRE', queue, ARGV[4])
-- A waiting pop gets what is pushed to an empty queue. One that arrives a moment later gets what is pushed to one that is
-- almost empty.
if length <= 10 then
    if call('LPUSH', queue .. '#noted', message) > 200 then
        call('LTRIM', queue .. '#noted', 0, 99)
    end
    call('PEXPIRE', queue .. '#noted', ARGV[4])
end
local in_channel, in_all = call('INCR', KEYS[2]), call('INCR', KEYS[3])
if in_channel == 1 or in_all == 1 or ARGV[7] == '1' then
    renew(KEYS[2], KEYS[3])
end
return 1
