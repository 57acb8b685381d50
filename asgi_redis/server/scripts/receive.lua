--!df flags=allow-undeclared-keys
-- Take the oldest message of the first queue that has one; drop expired messages on the way.
--
-- The message stays in Redis until the session's next call: if the reply is lost, the same call gets it again, or
-- put_back.lua returns it to its queue.
--
-- KEYS   the queues, in the order to look at them; then the session
-- ARGV   1 number of the call; a message from the first queue is noted as that number, from the second as one more ...
--        2 life of the session's number, ms, and how many expired messages one run may drop, so that it never holds the
--          server for long: two numbers in one text, because they are rarely needed
--        3 life of the announcements that are due, ms, or 0
--        4 1 if the keys may be on their way to another node of a Redis Cluster, else 0
--        5 key of a message that a blocking pop has taken from the first queue, or nothing
-- reply  the place of the queue in KEYS, four digits, and the body, in one text, or no body if it is large, and is to
--        be read from session#taken; 0000 if there is more to drop; nil if there is nothing
--
-- Also written: the message keys in the queues, session#taken, and queue#batches if an announcement is due.

local call = redis.call
local queues = #KEYS - 1
local session = KEYS[#KEYS]
local taken = session .. '#taken'
local number = tonumber(ARGV[1])

local noted = tonumber(call('GET', session) or 0)
if noted >= number then
    return noted < number + queues and call('EXISTS', taken) == 1 and string.format('%04d', noted - number + 1) or nil
end

if ARGV[3] ~= '0' then
    for place = 1, queues do
        if string.sub(KEYS[place], -1) == '!' then
            -- If Redis is out of memory, only this fails: what follows begins with a write that frees memory.
            redis.pcall('SET', KEYS[place] .. '#batches', '1', 'PX', ARGV[3])
        end
    end
end

-- While a slot of a cluster moves, the message, or the place where it is kept, may be on the other node. That is an
-- error, so a queue must not be popped before.
local may_move = ARGV[4] == '1'

local function pop(queue)
    return may_move and call('LINDEX', queue, 0) or not may_move and call('LPOP', queue)
end

local function take(place, message, is_popped)
    local body
    if string.sub(message, -12, -12) == 'f' then
        -- Large: Lua would copy it several times.
        body = call('EXISTS', message) == 1 and ''
    else
        body = call('GET', message)
    end
    if body then
        call('RENAME', message, taken)
    end
    if not is_popped then
        call('LPOP', KEYS[place])
    end
    if body then
        if place == 1 and noted == number - 1 then
            call('INCR', session)
            return '0001' .. body
        end
        call('SET', session, number + place - 1, 'PX', string.match(ARGV[2], '%d+'))
        return string.format('%04d', place) .. body
    end
end

local found = ARGV[5] ~= '' and take(1, ARGV[5], true)
if found then
    return found
end

local may_drop
for place = 1, queues do
    local message = pop(KEYS[place])
    while message do
        found = take(place, message, not may_move)
        if found then
            return found
        end
        may_drop = (may_drop or tonumber(string.match(ARGV[2], '%d+$'))) - 1
        if may_drop == 0 then
            return '0000'
        end
        message = pop(KEYS[place])
    end
end
if noted > 0 then
    call('DEL', taken)
end
return nil
