-- The holds whose leases have ended, at most ARGV[2]: expiring them takes the keys of their windows, which the caller
-- declares. None while counters are filled: they are asserted, or settled, by whoever has them.
-- KEYS: 1 state hash, 2 live holds, 3 their lease ends. ARGV: 1 the caller's epoch, 2 at most.
-- Returns: 1 '' or `state \t epoch \t version` where nothing may expire now, 2 number of live holds, then ids and leases in turn.
local epoch, state, filled_on, version = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'state', 'server', 'version'))
if filled_on ~= server and state then state = 'recovering' end
if not epoch or epoch ~= ARGV[1] or state ~= 'open' then return { (state or '') .. '\t' .. (epoch or '') .. '\t' .. (version or ''), '0' } end
local replies = { '', tostring(redis.call('ZCARD', KEYS[3])) }
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  replies[#replies + 1] = id
  replies[#replies + 1] = redis.call('HGET', KEYS[2], id) or ''
end
return replies
