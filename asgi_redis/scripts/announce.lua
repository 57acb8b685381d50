-- Say that the reader of process-specific queues, busy with what it holds in memory, still understands batches.
--
-- KEYS    announcements: see send_group.lua
-- ARGV    1 their life, ms
-- answer  how many

for _, announcement in ipairs(KEYS) do
    redis.call('SET', announcement, '1', 'PX', ARGV[1])
end
return #KEYS
