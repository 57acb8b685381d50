--!df flags=allow-undeclared-keys
-- Put the messages of one group send at the ends of their queues, unless those are full.
--
-- A batch is one entry for several channels of one process. The reader of its queue must understand that, which release
-- 1.4 does not: readers that do announce it by a key beside the queue, which lives for a few seconds.
--
-- KEYS   1 messages_count of all channels
--        2 session
--        then the queues of the entries, then those of the batches
-- ARGV   1 number of the call, which is the first of as many as there are entries and batches
--        2 what message keys begin with; their last twelve digits are these numbers
--        3 life of the messages, ms           4 life of the queues, ms
--        5 life of the session's number, ms
--        6 life of a channel's counter, s     7 life of the counter of all channels, s
--        8 what queues begin with             9 what counters begin with
--        10 how many runs: entries with the same capacity and body
--        11 how many batches
--        12 1 if the lives of the channels' counters are due to be renewed, else 0
--        then, for each run: how many entries, capacity, which of the bodies (from 1)
--        then, for each batch: how many channels, capacity, which of the bodies (from 1)
--        then the bodies
-- reply  {places of the entries whose queue was full, places of such batches, places of the batches whose queue has
--        no announcement}, from 1
--
-- Also written: the messages, messages_count of each channel, queue#noted, session#reply.

local call = redis.call
local first = tonumber(ARGV[1])
local queues = #KEYS - 2
local last = first + queues - 1

local noted = tonumber(call('GET', KEYS[2]) or 0)
if noted >= first then
    -- The same call was done before its reply was lost; or it arrives late, and the reply is read by no one.
    local number, reply = string.match(call('GET', KEYS[2] .. '#reply') or '', '^(%d+) (.*)$')
    return number == ARGV[1] and cjson.decode(reply) or {{}, {}, {}}
end

local runs, batches = tonumber(ARGV[10]), tonumber(ARGV[11])
local renew = ARGV[12] == '1'
local first_body = 12 + (runs + batches) * 3
local sent = 0
local name_begins = #ARGV[8] + 1

local function put(place, capacity, body, channels)
    local queue = KEYS[place + 2]
    local message = ARGV[2] .. string.format('%012d', first + place - 1)
    local counter = ARGV[9] .. string.sub(queue, name_begins) .. ':messages_count'
    local length = call('RPUSH', queue, message)
    if length > capacity then
        call('LTRIM', queue, 0, -2)
        if renew then
            call('EXPIRE', counter, ARGV[6])
        end
        return false
    end
    call('SET', message, body, 'PX', ARGV[3])
    call('PEXPIRE', queue, ARGV[4])
    if length <= 10 then  -- see send.lua
        if call('LPUSH', queue .. '#noted', message) > 200 then
            call('LTRIM', queue .. '#noted', 0, 99)
        end
        call('PEXPIRE', queue .. '#noted', ARGV[4])
    end
    if call('INCRBY', counter, channels) == channels or renew then
        call('EXPIRE', counter, ARGV[6])
    end
    sent = sent + channels
    return true
end

local full_entries, full_batches, unannounced = {}, {}, {}
local place = 0

for arg = 13, 12 + runs * 3, 3 do
    local capacity, body = tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]]
    for _ = 1, tonumber(ARGV[arg]) do
        place = place + 1
        if not put(place, capacity, body, 1) then
            full_entries[#full_entries + 1] = place
        end
    end
end

for batch = 1, batches do
    local arg = 10 + (runs + batch) * 3
    place = place + 1
    if call('EXISTS', KEYS[place + 2] .. '#batches') == 0 then
        unannounced[#unannounced + 1] = batch
    elseif not put(place, tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]], tonumber(ARGV[arg])) then
        full_batches[#full_batches + 1] = batch
    end
end

if sent > 0 then
    call('INCRBY', KEYS[1], sent)
    call('EXPIRE', KEYS[1], ARGV[7])
end
call('SET', KEYS[2], last, 'PX', ARGV[5])
local reply = {full_entries, full_batches, unannounced}
if #full_entries + #full_batches + #unannounced > 0 then
    call('SET', KEYS[2] .. '#reply', ARGV[1] .. ' ' .. cjson.encode(reply), 'PX', ARGV[5])
end
return reply
