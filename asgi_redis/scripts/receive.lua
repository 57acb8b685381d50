-- Take the oldest message of the first queue that has one; drop expired ones on the way.
--
-- KEYS    the queues, in the order to look at them
--         then the announcements of those that are process-specific: see send_group.lua
-- ARGV    1 how many queues
--         2 how many expired messages may be dropped in one run, so that it never holds the server for long
--         3 life of the announcements, ms
-- answer  {place of the queue in KEYS, body}; {0} where there is more to drop; nil where there is nothing
--
-- Also read and deleted: the message keys that the queues hold.

local queues = tonumber(ARGV[1])
local may_drop = tonumber(ARGV[2])

for place = queues + 1, #KEYS do
    redis.call('SET', KEYS[place], '1', 'PX', ARGV[3])
end

for place = 1, queues do
    -- Read first, then take: where the message's slot is on its way to another node, reading is an error, and nothing
    -- must be gone by then.
    local message = redis.call('LINDEX', KEYS[place], 0)
    while message do
        local body = redis.call('GET', message)
        redis.call('LPOP', KEYS[place])
        if body then
            redis.call('DEL', message)
            return {place, body}
        end
        may_drop = may_drop - 1
        if may_drop == 0 then
            return {0}
        end
        message = redis.call('LINDEX', KEYS[place], 0)
    end
end
return nil
