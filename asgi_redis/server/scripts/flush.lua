-- Delete the layer's own keys among those whose names look like theirs.
--
-- If the prefix is empty, keys of other applications may have such names too: a list "celery", or a cache entry that is
-- named by an MD5 digest. So a key must have the right type, and a life, which all keys of the layer have; a queue must
-- hold message keys; and a message must not live longer than messages do. In doubt a key stays: a message that is in no
-- queue any more is never received, and expires.
--
-- KEYS   such keys; twice if the name is that of two kinds
-- ARGV   1 prefix
--        2 life of a message, ms
--        then, for each key, its kind: message, queue (or the keys noted for one), or else the type
-- reply  how many were deleted

local call = redis.call
local prefix = ARGV[1]

local function is_message_key(text)
    return #text == #prefix + 32 and string.sub(text, 1, #prefix) == prefix
        and not string.find(text, '[^0-9a-f]', #prefix + 1)
end

local function is_own(key, kind)
    local life, type = call('PTTL', key), call('TYPE', key).ok
    if life < 0 then
        return false
    elseif kind == 'message' then
        return type == 'string' and life <= tonumber(ARGV[2])
    elseif kind == 'queue' then
        return type == 'list' and is_message_key(call('LINDEX', key, 0) or '')
    end
    return type == kind
end

local deleted = 0
for place, key in ipairs(KEYS) do
    if is_own(key, ARGV[place + 2]) then
        deleted = deleted + call('DEL', key)
    end
end
return deleted
