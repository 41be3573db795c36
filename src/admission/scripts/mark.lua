-- Moves an organization's state on, under its epoch.
-- KEYS: 1 state hash. ARGV: 1 epoch, 2 act, 3 proxy, 4 a new epoch. Acts: `answered`, this proxy has asserted all it
-- knows; `open`, calls are admitted again; `anew`, the ledger has what no snapshot so far had, so begin again.
-- Returns: 1 where it was done, 0 where epoch or server is another one or it is not time.
local epoch, loaded, filled_on = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'loaded_ms', 'server'))
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
if ARGV[2] == 'anew' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'state', 'recovering', 'epoch', ARGV[4], 'server', server, 'until', '0')
  return 1
end
return 0
