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
--        3 life of the messages, ms           4 life of the session's number, ms
--        5 life of a channel's counters, s    6 life of the counters of all channels, s
--        7 what queues begin with             8 what counters begin with
--        9 how many runs: entries with the same capacity and body
--        10 how many batches
--        then, for each run: how many entries, capacity, which of the bodies (from 1)
--        then, for each batch: how many channels, capacity, which of the bodies (from 1)
--        then the bodies
-- reply  {places of the entries whose queue was full, places of such batches, places of the batches whose queue has
--        no announcement}, from 1
--
-- Also written: the messages, messages_count of each channel, queue#noted, session#reply.

local first = tonumber(ARGV[1])
local queues = #KEYS - 2
local last = first + queues - 1

local noted = tonumber(redis.call('GET', KEYS[2]) or 0)
if noted >= first then
    -- The same call was done before its reply was lost; or it arrives late, and the reply is read by no one.
    local number, reply = string.match(redis.call('GET', KEYS[2] .. '#reply') or '', '^(%d+) (.*)$')
    return number == ARGV[1] and cjson.decode(reply) or {{}, {}, {}}
end

local runs, batches = tonumber(ARGV[9]), tonumber(ARGV[10])
local first_body = 10 + (runs + batches) * 3
local sent = 0
local were_empty = {}

local function put(place, capacity, body, channels)
    local queue = KEYS[place + 2]
    local length = redis.call('LLEN', queue)
    if length >= capacity then
        return false
    end
    local message = ARGV[2] .. string.format('%012d', first + place - 1)
    redis.call('SET', message, body, 'PX', ARGV[3])
    redis.call('RPUSH', queue, message)
    redis.call('PEXPIRE', queue, ARGV[3] + 1000)
    if length == 0 or were_empty[queue] then
        -- Pops that wait are served after the script, each with another entry.
        were_empty[queue] = true
        if redis.call('LPUSH', queue .. '#noted', message) > 200 then
            redis.call('LTRIM', queue .. '#noted', 0, 99)
        end
        redis.call('PEXPIRE', queue .. '#noted', ARGV[3] + 1000)
    end
    local counter = ARGV[8] .. string.sub(queue, #ARGV[7] + 1) .. ':messages_count'
    redis.call('INCRBY', counter, channels)
    redis.call('EXPIRE', counter, ARGV[5])
    sent = sent + channels
    return true
end

local full_entries, full_batches, unannounced = {}, {}, {}
local place = 0

for arg = 11, 10 + runs * 3, 3 do
    local capacity, body = tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]]
    for _ = 1, ARGV[arg] do
        place = place + 1
        if not put(place, capacity, body, 1) then
            full_entries[#full_entries + 1] = place
        end
    end
end

for batch = 1, batches do
    local arg = 8 + (runs + batch) * 3
    place = place + 1
    if redis.call('EXISTS', KEYS[place + 2] .. '#batches') == 0 then
        unannounced[#unannounced + 1] = batch
    elseif not put(place, tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]], tonumber(ARGV[arg])) then
        full_batches[#full_batches + 1] = batch
    end
end

if sent > 0 then
    redis.call('INCRBY', KEYS[1], sent)
    redis.call('EXPIRE', KEYS[1], ARGV[6])
end
redis.call('SET', KEYS[2], last, 'PX', ARGV[4])
local reply = {full_entries, full_batches, unannounced}
if #full_entries + #full_batches + #unannounced > 0 then
    redis.call('SET', KEYS[2] .. '#reply', ARGV[1] .. ' ' .. cjson.encode(reply), 'PX', ARGV[4])
end
return reply
