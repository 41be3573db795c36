-- Prolongs the leases of live holds.
-- KEYS: 1 state hash, 2 live holds, 3 their lease ends. ARGV: 1 the caller's epoch, 2 lease ms, 3... ids.
-- Returns: 1 '' or `state \t epoch \t version` where the caller's epoch is not the organization's (nothing was done), then the ids
-- that are not live.
local epoch, state, filled_on, version = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'state', 'server', 'version'))
if filled_on ~= server and state then state = 'recovering' end
if not epoch or epoch ~= ARGV[1] or filled_on ~= server then return { (state or '') .. '\t' .. (epoch or '') .. '\t' .. (version or '') } end
local until_ms = string.format('%.0f', now_ms + ARGV[2])
local replies = { '' }
for index = 3, #ARGV do
  local id = ARGV[index]
  if redis.call('HEXISTS', KEYS[2], id) == 1 then
    redis.call('ZADD', KEYS[3], until_ms, id)
  else
    replies[#replies + 1] = id
  end
end
return replies
