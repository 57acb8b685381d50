-- Put a message that was popped, but not read, back to the head of its queue.
--
-- KEYS    1 queue
--         2 message
--         3 notes: see send.lua
-- ARGV    1 life of the queue, ms
-- answer  1 restored, 0 expired, or read by somebody

local life = redis.call('PTTL', KEYS[2])
if life <= 0 then
    return 0
end
-- Changes nothing, but Redis lets a script that has written something go on where it is out of memory.
redis.call('PEXPIRE', KEYS[2], life)
redis.call('LPUSH', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[3], KEYS[2])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
return 1
