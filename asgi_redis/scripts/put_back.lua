-- Put a message that was taken, but that nobody got, back to the head of its queue.
--
-- KEYS    1 queue
--         2 message
--         3 sender, 4 notes: see send.lua
-- ARGV    1 body
--         2 life of the message, ms    3 life of the queue, ms
--         4 life of the sender's key, ms    5 number of the message: see send.lua
-- answer  1 put back, now or before

local before = redis.call('GET', KEYS[3])
if before and tonumber(string.match(before, '%d+')) >= tonumber(ARGV[5]) then
    return 1
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('LPUSH', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('LPUSH', KEYS[4], KEYS[2])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[4])
return 1
