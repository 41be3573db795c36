-- Moves an organization's state on, under its epoch.
-- KEYS: 1 state hash. ARGV: 1 epoch, 2 act, 3 proxy, 4 a new epoch. Acts: `answered`, this proxy has asserted all it
-- knows; `open`, calls are admitted again; `behind`, the counters are of a directory before version ARGV[5], so begin
-- again where that was not begun already; `anew`, the ledger has what no snapshot so far had, so begin again in any case.
-- Returns: 1 where it was done, 0 where epoch or server is another one or it is not time.
local epoch, state, loaded, filled_on, version =
  unpack(redis.call('HMGET', KEYS[1], 'epoch', 'state', 'loaded_ms', 'server', 'version'))
if epoch ~= ARGV[1] or filled_on ~= server then return 0 end
if ARGV[2] == 'answered' and loaded then
  redis.call('HSET', KEYS[1], 'p:' .. ARGV[3], '1')
  return 1
end
if ARGV[2] == 'open' and loaded then
  redis.call('HSET', KEYS[1], 'state', 'open')
  redis.call('HDEL', KEYS[1], 'coordinator', 'until')
  return 1
end
local is_behind = ARGV[2] == 'behind' and state == 'open' and (tonumber(version) or 0) < tonumber(ARGV[5])
if ARGV[2] == 'anew' or is_behind then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'state', 'recovering', 'epoch', ARGV[4], 'server', server, 'until', '0')
  return 1
end
return 0
