-- After a call of receive.lua whose answer was lost: put what it took back to the head of its queue.
--
-- KEYS    1 the reader's receipt, and 2 the message that it took: see receive.lua
--         3 message: the key that it gets now
--         then the queues of the lost call, each with its notes: see send.lua
-- ARGV    1 number of the lost call
--         2 number of this call
--         3 life of the receipt, and of a queue, ms
-- answer  1 put back, 0 there was nothing

local before = redis.call('GET', KEYS[1])
local number, place = string.match(before or '', '^(%d+)%.(%d+)$')
local lost = number == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 1
if lost then
    redis.call('RENAME', KEYS[2], KEYS[3])
    local queue, notes = KEYS[2 + 2 * place], KEYS[3 + 2 * place]
    redis.call('LPUSH', queue, KEYS[3])
    redis.call('PEXPIRE', queue, ARGV[3])
    redis.call('LPUSH', notes, KEYS[3])
    redis.call('PEXPIRE', notes, ARGV[3])
end
-- From now on the lost call does nothing, should it come late.
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return lost and 1 or 0
