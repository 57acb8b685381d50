--!df flags=allow-undeclared-keys
-- Put a message that was received, but is no longer wanted, back at the head of its queue.
--
-- KEYS   1 queue    2 session    3 message
-- ARGV   1 number of the call
--        2 life of the message, ms    3 life of the session's number, ms
--        4 body
-- reply  1 returned, now or by the same call before
--
-- Also written: queue#noted.

if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(ARGV[1]) then
    return 1
end
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
redis.call('LPUSH', KEYS[1], KEYS[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2] + 1000)
if redis.call('LPUSH', KEYS[1] .. '#noted', KEYS[3]) > 200 then
    redis.call('LTRIM', KEYS[1] .. '#noted', 0, 99)
end
redis.call('PEXPIRE', KEYS[1] .. '#noted', ARGV[2] + 1000)
return 1
