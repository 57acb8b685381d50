-- Put the messages of one group send at the end of their queues, where those are not full.
--
-- KEYS    1 messages_count of all channels
--         then, an entry: queue, message, messages_count of the channel
-- ARGV    1 life of the messages, ms            2 life of the queues, ms
--         3 life of a channel's counter, s      4 life of the counter of all channels, s
--         5 how many runs: entries that share a capacity and a body
--         then, a run: how many entries, capacity, which of the bodies, from 1
--         then the bodies
-- answer  the places, from 1, of the entries that found their queue full

local runs = tonumber(ARGV[5])
local full = {}
local sent = 0
local entry = 0

for run = 0, runs - 1 do
    local capacity = tonumber(ARGV[run * 3 + 7])
    local body = ARGV[5 + runs * 3 + ARGV[run * 3 + 8]]
    for _ = 1, ARGV[run * 3 + 6] do
        entry = entry + 1
        local queue, message, counter = KEYS[entry * 3 - 1], KEYS[entry * 3], KEYS[entry * 3 + 1]
        if redis.call('LLEN', queue) >= capacity then
            full[#full + 1] = entry
        -- As in send.lua: a message key that stands is a repeated send.
        elseif redis.call('SET', message, body, 'PX', ARGV[1], 'NX') then
            redis.call('RPUSH', queue, message)
            redis.call('PEXPIRE', queue, ARGV[2])
            redis.call('INCRBY', counter, 1)
            redis.call('EXPIRE', counter, ARGV[3])
            sent = sent + 1
        end
    end
end

if sent > 0 then
    redis.call('INCRBY', KEYS[1], sent)
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return full
