-- Take the oldest message of the first queue that has one; drop expired ones on the way.
--
-- What is taken stays in Redis until the reader's next call, for if the answer is lost, recover.lua puts it back.
--
-- KEYS    the queues, in the order to look at them
--         then the announcements of those that are process-specific: see send_group.lua
--         then the reader's receipt: the number of its last call that took a message, a point, the place of the queue
--         then the message that it took
-- ARGV    1 how many queues
--         2 how many expired messages may be dropped in one run, so that it never holds the server for long
--         3 life of the announcements, ms       4 life of the receipt, ms
--         5 number of the call: higher each time
--         6 key of a message that a blocking pop has brought from the first queue, or nothing
-- answer  {place of the queue in KEYS, body}; {0} where there is more to drop; nil where there is nothing, or where a
--         later call came first
--
-- Also read, renamed and deleted: the message keys that the queues hold.

local queues = tonumber(ARGV[1])
local may_drop = tonumber(ARGV[2])
local receipt, taken = KEYS[#KEYS - 1], KEYS[#KEYS]

local before = redis.call('GET', receipt)
if before and tonumber(before) >= tonumber(ARGV[5]) then
    return nil
end

-- Where Redis is out of memory only this fails: what follows begins with a write that sets memory free.
for place = queues + 1, #KEYS - 2 do
    redis.pcall('SET', KEYS[place], '1', 'PX', ARGV[3])
end

local function take(place, message, body)
    redis.call('RENAME', message, taken)
    redis.call('SET', receipt, ARGV[5] .. '.' .. place, 'PX', ARGV[4])
    return {place, body}
end

if ARGV[6] ~= '' then
    local body = redis.call('GET', ARGV[6])
    if body then
        return take(1, ARGV[6], body)
    end
end

for place = 1, queues do
    -- Read first, then take: where the message's slot is on its way to another node, reading is an error, and nothing
    -- must be gone by then.
    local message = redis.call('LINDEX', KEYS[place], 0)
    while message do
        local body = redis.call('GET', message)
        redis.call('LPOP', KEYS[place])
        if body then
            return take(place, message, body)
        end
        may_drop = may_drop - 1
        if may_drop == 0 then
            return {0}
        end
        message = redis.call('LINDEX', KEYS[place], 0)
    end
end
if before then
    redis.call('DEL', taken)
end
return nil
