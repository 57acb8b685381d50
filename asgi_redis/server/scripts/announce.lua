-- Announce that readers of process-specific queues understand batches, while they hand out messages from memory.
--
-- KEYS   announcements: see send_group.lua
-- ARGV   1 their life, ms
-- reply  how many

for _, announcement in ipairs(KEYS) do
    redis.call('SET', announcement, '1', 'PX', ARGV[1])
end
return #KEYS
