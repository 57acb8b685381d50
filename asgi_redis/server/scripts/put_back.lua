--!df flags=allow-undeclared-keys
-- Put message keys that left their queues, but whose messages no reader got, back at the heads of the queues.
--
-- Doing it twice changes nothing: a key that is in its queue, or whose message was received, stays as it is.
--
-- KEYS   the queues; then the session of a receive whose reply was lost, if that is the case
-- ARGV   1 how many queues
--        2 life of the queues, ms
--        3 number of that receive     4 life of the session's number, ms     5 a new message key, for what it took
--        6 for each queue, 1 if it has only one reader, the caller of this script, else 0
--        then, for each key to put back: the place of its queue, the key; of one queue the oldest last
-- reply  {place of a queue, message key, ...}: keys that are noted for a queue, have a message, and are not in the
--        queue. If that has several readers, another may be about to read them, so they must be put back only if they
--        are still missing a second later. If it has one, they are put back now, which keeps it in order.
--
-- Also read and written: session#taken, queue#noted, and the message keys there.

local queues = tonumber(ARGV[1])
local session = KEYS[queues + 1]

local waiting = {}
for place = 1, queues do
    waiting[place] = {}
    for _, message in ipairs(redis.call('LRANGE', KEYS[place], 0, -1)) do
        waiting[place][message] = true
    end
end

local function is_missing(place, message)
    return not waiting[place][message] and redis.call('EXISTS', message) == 1
end

local function put_back(place, message)
    local queue = KEYS[place]
    -- This changes nothing, but even if Redis is out of memory, it lets a script go on that has already written.
    redis.call('PEXPIRE', message, math.max(redis.call('PTTL', message), 1))
    redis.call('LPUSH', queue, message)
    redis.call('PEXPIRE', queue, ARGV[2])
    if redis.call('LPUSH', queue .. '#noted', message) > 200 then
        redis.call('LTRIM', queue .. '#noted', 0, 99)
    end
    redis.call('PEXPIRE', queue .. '#noted', ARGV[2])
    waiting[place][message] = true
end

for arg = 7, #ARGV, 2 do
    local place = tonumber(ARGV[arg])
    if is_missing(place, ARGV[arg + 1]) then
        put_back(place, ARGV[arg + 1])
    end
end

if session then
    local number = tonumber(ARGV[3])
    local noted = tonumber(redis.call('GET', session) or 0)
    if noted < number then
        -- From now on the receive does nothing if it arrives late.
        redis.call('SET', session, number + queues, 'PX', ARGV[4])
    elseif noted < number + queues and redis.call('EXISTS', session .. '#taken') == 1 then
        redis.call('RENAME', session .. '#taken', ARGV[5])
        put_back(noted - number + 1, ARGV[5])
    end
end

local missing = {}
for place = 1, queues do
    for _, message in ipairs(redis.call('LRANGE', KEYS[place] .. '#noted', 0, -1)) do
        if is_missing(place, message) then
            if string.sub(ARGV[6], place, place) == '1' then
                put_back(place, message)
            else
                missing[#missing + 1] = place
                missing[#missing + 1] = message
            end
        end
    end
end
return missing
