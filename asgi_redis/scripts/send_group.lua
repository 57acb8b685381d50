-- Put the messages of one group send at the end of their queues, where those are not full.
--
-- A batch is one entry for several channels of one process. Its queue's reader must understand that, which release
-- 1.4 does not: readers that do announce it by a key beside the queue, which lives for a few seconds.
--
-- KEYS    1 messages_count of all channels
--         2 sender: see send.lua; here the answer stands behind the number, for a repeated send is to get the same
--         then, an entry: queue, message, messages_count of the channel, notes (see send.lua)
--         then, a batch: queue, message, messages_count of the channel, notes, announcement
-- ARGV    1 life of the messages, ms            2 life of the queues, ms
--         3 life of a channel's counter, s      4 life of the counter of all channels, s
--         5 life of the sender's key, ms        6 number of this run of the script: see send.lua
--         7 how many runs: entries that share a capacity and a body
--         8 how many batches
--         then, a run: how many entries, capacity, which of the bodies, from 1
--         then, a batch: how many channels, capacity, which of the bodies, from 1
--         then the bodies
-- answer  {places of the entries whose queue was full, places of such batches, places of the batches whose queue has
--         no announcement}, from 1

local before = redis.call('GET', KEYS[2])
if before then
    local number, answer = string.match(before, '^(%d+) ?(.*)$')
    if tonumber(number) >= tonumber(ARGV[6]) then
        return number == ARGV[6] and cjson.decode(answer) or {{}, {}, {}}
    end
end

local runs, batches = tonumber(ARGV[7]), tonumber(ARGV[8])
local first_body = 8 + (runs + batches) * 3
local sent = 0

local function note(notes, message)
    if redis.call('LPUSH', notes, message) > 200 then
        redis.call('LTRIM', notes, 0, 99)
    end
    redis.call('PEXPIRE', notes, ARGV[2])
end

local function put(key, capacity, body, count)
    local queue, message, counter = KEYS[key], KEYS[key + 1], KEYS[key + 2]
    local length = redis.call('LLEN', queue)
    if length >= capacity then
        return false
    end
    redis.call('SET', message, body, 'PX', ARGV[1])
    redis.call('RPUSH', queue, message)
    redis.call('PEXPIRE', queue, ARGV[2])
    if length == 0 then
        note(KEYS[key + 3], message)
    end
    redis.call('INCRBY', counter, count)
    redis.call('EXPIRE', counter, ARGV[3])
    sent = sent + count
    return true
end

local full_entries, full_batches, unannounced = {}, {}, {}
local key = 3
local entry = 0

for arg = 9, 8 + runs * 3, 3 do
    local capacity, body = tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]]
    for _ = 1, ARGV[arg] do
        entry = entry + 1
        if not put(key, capacity, body, 1) then
            full_entries[#full_entries + 1] = entry
        end
        key = key + 4
    end
end

for batch = 1, batches do
    local arg = 6 + (runs + batch) * 3
    if redis.call('EXISTS', KEYS[key + 4]) == 0 then
        unannounced[#unannounced + 1] = batch
    elseif not put(key, tonumber(ARGV[arg + 1]), ARGV[first_body + ARGV[arg + 2]], ARGV[arg]) then
        full_batches[#full_batches + 1] = batch
    end
    key = key + 5
end

if sent > 0 then
    redis.call('INCRBY', KEYS[1], sent)
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
local answer = {full_entries, full_batches, unannounced}
redis.call('SET', KEYS[2], ARGV[6] .. ' ' .. cjson.encode(answer), 'PX', ARGV[5])
return answer
