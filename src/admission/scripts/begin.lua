-- Begins, or goes on with, filling an organization's counters from the ledger; one proxy at a time coordinates.
-- KEYS: 1 state hash. ARGV: 1 proxy, 2 how long it may coordinate in ms, 3 an epoch for a new beginning, 4 the epoch
-- that is known to be no good or ''.
-- The state hash: state open|recovering, epoch, server the counters were filled on, coordinator, until, loaded_ms once they are in,
-- version of the directory that the ledger had then,
-- a:<journal> what the snapshot contains of each journal, p:<proxy> who has answered.
-- Returns: state, epoch, coordinator, loaded_ms or '', now_ms, version or '', then p: and a: fields with values in turn.
local state, epoch, coordinator, until_ms, loaded, filled_on =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'epoch', 'coordinator', 'until', 'loaded_ms', 'server'))
local is_anew = not state or not epoch or filled_on ~= server or (ARGV[4] ~= '' and epoch == ARGV[4])
local is_orphan = state == 'recovering' and (tonumber(until_ms) or 0) <= now_ms and coordinator ~= ARGV[1]
if is_anew or (is_orphan and not loaded) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'state', 'recovering', 'epoch', ARGV[3], 'server', server, 'coordinator', ARGV[1])
elseif is_orphan then
  redis.call('HSET', KEYS[1], 'coordinator', ARGV[1])
end
if redis.call('HGET', KEYS[1], 'state') == 'recovering' and redis.call('HGET', KEYS[1], 'coordinator') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now_ms + ARGV[2]))
end
local version
state, epoch, coordinator, loaded, version =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'epoch', 'coordinator', 'loaded_ms', 'version'))
local replies = { state, epoch, coordinator or '', loaded or '', string.format('%.0f', now_ms), version or '' }
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local prefix = string.sub(fields[index], 1, 2)
  if prefix == 'p:' or prefix == 'a:' then
    replies[#replies + 1] = fields[index]
    replies[#replies + 1] = fields[index + 1]
  end
end
return replies
