-- Puts what the ledger says in the place of counters of a window that is over, where they still say what the caller saw.
-- KEYS: 1 state hash, 2 the window. ARGV: 1... for each counter `limit|subject`, what it said ('' where it was not
-- there), what it is to say.
-- Returns: how many were put right; -1 where the organization's counters are not open.
local state, filled_on = unpack(redis.call('HMGET', KEYS[1], 'state', 'server'))
if state ~= 'open' or filled_on ~= server then return -1 end
local repaired = 0
for index = 1, #ARGV, 3 do
  local field = ARGV[index] .. ':s'
  if (redis.call('HGET', KEYS[2], field) or '') == ARGV[index + 1] then
    redis.call('HSET', KEYS[2], field, ARGV[index + 2])
    repaired = repaired + 1
  end
end
-- A window whose counters had gone already is not kept for ever by this.
redis.call('PEXPIRE', KEYS[2], 172800000, 'NX')
return repaired
