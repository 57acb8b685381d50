-- After a blocking pop whose answer may be lost: put back what was handed to somebody, but never read.
--
-- A message that is on its way to another reader may be put back, too. Only one of the two finds its body.
--
-- KEYS    a queue, then the keys under which send.lua notes what may be handed on; and the same for other queues
-- ARGV    1 how many such keys a queue has
--         2 life of a queue, ms
-- answer  how many were put back
--
-- Also read: the keys of the messages that are noted.

local notes = tonumber(ARGV[1])
local found = 0

for place = 1, #KEYS, notes + 1 do
    local queue, waiting = KEYS[place], {}
    for _, message in ipairs(redis.call('LRANGE', queue, 0, -1)) do
        waiting[message] = true
    end
    for note = place + 1, place + notes do
        local message = redis.call('GET', KEYS[note])
        if message and not waiting[message] and redis.call('EXISTS', message) == 1 then
            redis.call('LPUSH', queue, message)
            redis.call('PEXPIRE', queue, ARGV[2])
            found = found + 1
        end
    end
end
return found
