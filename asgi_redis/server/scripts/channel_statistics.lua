--!df flags=allow-undeclared-keys
-- Return the statistics of one channel on one shard.
--
-- KEYS   1 queue
--        2 messages_count
--        3 channel_full_count
-- ARGV   1 life of a message when it was sent, ms
-- reply  {messages_count, channel_full_count, messages_pending, age of the oldest pending message in ms}
--
-- Also read: the life that is left to the oldest message.

local age = 0
local oldest = redis.call('LINDEX', KEYS[1], 0)
if oldest then
    age = ARGV[1] - math.max(redis.call('PTTL', oldest), 0)
end
return {
    tonumber(redis.call('GET', KEYS[2]) or 0),
    tonumber(redis.call('GET', KEYS[3]) or 0),
    redis.call('LLEN', KEYS[1]),
    age,
}
