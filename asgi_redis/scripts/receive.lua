-- Take the oldest message of the first queue that has one; drop expired ones on the way.
--
-- KEYS    the queues, in the order to look at them
-- ARGV    1 how many expired messages may be dropped in one run, so that it never holds the server for long
-- answer  {place of the queue in KEYS, body}; {0} where there is more to drop; nil where there is nothing
--
-- Also read and deleted: the message keys that the queues hold.

local may_drop = tonumber(ARGV[1])

for place, queue in ipairs(KEYS) do
    local message = redis.call('LPOP', queue)
    while message do
        local body = redis.call('GET', message)
        if body then
            redis.call('DEL', message)
            return {place, body}
        end
        may_drop = may_drop - 1
        if may_drop == 0 then
            return {0}
        end
        message = redis.call('LPOP', queue)
    end
end
return nil
