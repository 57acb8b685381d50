-- After a blocking pop whose answer may be lost: put back what was handed to somebody, but never read.
--
-- A message that is on its way to another reader may be put back, too. Only one of the two finds its body.
--
-- KEYS    a queue and its notes, see send.lua; and the same for other queues
-- ARGV    1 life of a queue, ms
-- answer  how many were put back
--
-- Also read: the message keys that are noted.

local found = 0

for place = 1, #KEYS, 2 do
    local queue, seen = KEYS[place], {}
    for _, message in ipairs(redis.call('LRANGE', queue, 0, -1)) do
        seen[message] = true
    end
    -- Newest first, so the oldest comes to be the head.
    for _, message in ipairs(redis.call('LRANGE', KEYS[place + 1], 0, -1)) do
        if not seen[message] and redis.call('EXISTS', message) == 1 then
            redis.call('LPUSH', queue, message)
            redis.call('PEXPIRE', queue, ARGV[1])
            seen[message] = true
            found = found + 1
        end
    end
end
return found
