-- Puts one part of the ledger's snapshot in the place of an organization's counters. The first part drops all that was
-- counted and held before, rates included: the asserted holds owe theirs again, the rest of one minute is forgiven. Windows are declared by the caller, which
-- has read them from key 4 after `begin`: from then on nothing adds to them until the counters are loaded.
-- KEYS: 1 state hash, 2 live holds, 3 their lease ends, 4 budget windows, then the windows to drop and to fill.
-- ARGV: 1 epoch, 2 proxy, 3 '1' on the first part, 4 the directory's version on the last, 5 number of amounts, then for each `window, when it
-- ends at the latest or '', limit|subject, settled`, then `journal, seq` for each.
-- Returns: 1 where it was done, 0 where epoch or server is another one, somebody else coordinates, or it was loaded before.
local epoch, coordinator, state, loaded, filled_on =
  unpack(redis.call('HMGET', KEYS[1], 'epoch', 'coordinator', 'state', 'loaded_ms', 'server'))
if epoch ~= ARGV[1] or filled_on ~= server or coordinator ~= ARGV[2] or state ~= 'recovering' or loaded then return 0 end
if ARGV[3] == '1' then
  for index = 2, #KEYS do redis.call('DEL', KEYS[index]) end
end
local window_keys = {}
for index = 5, #KEYS do window_keys[string.sub(KEYS[index], #KEYS[1] + 2)] = KEYS[index] end
local amounts_end = 5 + 4 * ARGV[5]
for index = 6, amounts_end, 4 do
  local window, ends, key = ARGV[index], ARGV[index + 1], window_keys[ARGV[index]]
  redis.call('HSET', key, ARGV[index + 2] .. ':s', ARGV[index + 3])
  if ends == '' then
    redis.call('ZADD', KEYS[4], 'inf', window)
  else
    redis.call('PEXPIREAT', key, ends)
    redis.call('ZADD', KEYS[4], ends, window)
  end
end
for index = amounts_end + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], 'a:' .. ARGV[index], ARGV[index + 1]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'loaded_ms', string.format('%.0f', now_ms), 'version', ARGV[4]) end
return 1
