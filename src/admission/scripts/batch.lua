-- One organization's acts of one event-loop tick, each atomic by itself and answered by itself; a bad act changes
-- nothing and does not spoil the others.
-- KEYS: 1 state hash, 2 live holds, 3 their lease ends, 4 budget windows; then ARGV[2] windows; then buckets of finished ids.
-- ARGV: 1 the caller's epoch, 2 number of window keys, 3... acts: `op \t id \t bucket \t lease ms \t owner \n` and charge lines.
-- Returns: 1 '' or `state \t epoch \t version` where the caller's epoch is not the organization's, then one reply for each act:
--   H<states> held or read · D<index>,<1 if leases are due> <states> denied · R recovering · d done · g gone
--   s settled · l late · u unknown, charged · t yes · f no · N<lease> declare this lease's windows · E<text> fault
local epoch, state, filled_on, version = unpack(call('HMGET', KEYS[1], 'epoch', 'state', 'server', 'version'))
-- Counters that were filled on another server may lack what that one has answered: `begin` has them filled anew.
if filled_on ~= server and state then state = 'recovering' end
local is_current = epoch and epoch == ARGV[1] and filled_on == server
local bucket_keys, written_buckets = {}, {}

for index = 5, #KEYS do
  local key = KEYS[index]
  if index < 5 + ARGV[2] then
    window_keys[sub(key, #KEYS[1] + 2)] = key
  else
    bucket_keys[match(key, '[^:]*$')] = key
  end
end

-- Ends a hold; `mark` is '1', or the charges that expiry charged. What needs memory comes first: a server that has none
-- refuses it only in a script that has not written yet, and would otherwise take the settle of what charges nothing.
local function finish(act, mark)
  call('HSET', act.bucket, act.id, mark)
  call('HDEL', KEYS[2], act.id)
  call('ZREM', KEYS[3], act.id)
  written_buckets[act.bucket] = true
end

local function parse_lease(lease)
  local since, owner, at = match(lease, '^(%d+)\t([^\n]*)\n()')
  local charges, is_declared = charges_of(lease, at)
  return charges, is_declared, since, owner
end

local function put_lease(act, since, owner, lines)
  call('HSET', KEYS[2], act.id, since .. '\t' .. owner .. '\n' .. lines)
end

-- The actual charge for each held one must be given in order, as in the in-process store; more may come after those.
local function is_same(held, actual)
  if #held > #actual then return false end
  for index, charge in ipairs(held) do
    local other = actual[index]
    if other.name ~= charge.name or other.window ~= charge.window then return false end
  end
  return true
end

local IN_ORDER = 'Ea hold is settled by one actual charge for each of its charges, in order'

local function denied(index, charges)
  local due = call('ZRANGEBYSCORE', KEYS[3], '-inf', format('%.0f', now_ms), 'LIMIT', 0, 1)
  return 'D' .. index .. ',' .. #due .. ' ' .. states(charges)
end

local function reserve(act, charges, is_forced)
  if call('HEXISTS', KEYS[2], act.id) == 1 then
    read_slots(charges)
    return 'H' .. states(charges)
  end
  local mark = call('HGET', act.bucket, act.id)
  if mark then return mark == '1' and 'd' or 'g' end
  read_slots(charges)
  if not is_forced then
    local index = first_without_room(charges)
    if index then return denied(index, charges) end
  end
  take(charges)
  put_lease(act, format('%.0f', now_us), act.owner, sub(act.text, act.at))
  call('ZADD', KEYS[3], format('%.0f', now_ms + act.lease_ms), act.id)
  now_us = now_us + 1
  return 'H' .. states(charges)
end

local function extend(act, charges)
  local lease = call('HGET', KEYS[2], act.id)
  if not lease then return call('HGET', act.bucket, act.id) == '1' and 'd' or 'g' end
  read_slots(charges)
  local index = first_without_room(charges)
  if index then return denied(index, charges) end
  take(charges)
  local held, _, since, owner = parse_lease(lease)
  local by_counter, lines = {}, {}
  for _, charge in ipairs(held) do by_counter[charge.window .. '\t' .. charge.name] = charge end
  for _, charge in ipairs(charges) do
    local counter = charge.window .. '\t' .. charge.name
    local known = by_counter[counter]
    if known then
      known.amount = plus(known.amount, charge.amount)
    else
      by_counter[counter] = charge
      held[#held + 1] = charge
    end
  end
  for position, charge in ipairs(held) do lines[position] = charge_line(charge) end
  put_lease(act, since, owner, table.concat(lines))
  return 'H' .. states(charges)
end

local function settle(act, actual)
  local lease = call('HGET', KEYS[2], act.id)
  if lease then
    local held = parse_lease(lease)
    if not is_same(held, actual) then return IN_ORDER end
    for index, charge in ipairs(actual) do
      local held_amount = held[index] and held[index].amount or '0'
      if charge.kind == 'r' then
        add_debt(charge, charge.amount - held_amount)
      else
        drop_held(charge, held_amount)
        if charge.kind == 'b' then add_settled(charge, charge.amount) end
      end
    end
    finish(act, '1')
    return 's'
  end
  local mark = call('HGET', act.bucket, act.id)
  if mark == '1' then return 'd' end
  local swept = mark and parse_lease(mark)
  if swept and not is_same(swept, actual) then return IN_ORDER end
  for index, charge in ipairs(actual) do
    if charge.kind == 'b' then
      add_settled(charge, charge.amount)
      if swept and swept[index] then add_settled(charge, '-' .. swept[index].amount) end
    elseif charge.kind == 'r' and (not swept or charge.period > 60000) then
      -- A short rate that expiry has freed stays free: what it counted is more than a minute ago.
      add_debt(charge, tonumber(charge.amount), charge.cap)
    end
  end
  finish(act, '1')
  return swept and 'l' or 'u'
end

-- Gives everything back, or charges budgets in full where the owner is silent: the provider was probably called.
local function end_hold(act, held, is_expiry)
  for _, charge in ipairs(held) do
    if charge.kind == 'r' then
      add_debt(charge, -charge.amount)
    else
      drop_held(charge, charge.amount)
      if is_expiry and charge.kind == 'b' then add_settled(charge, charge.amount) end
    end
  end
end

local function release(act)
  local lease = call('HGET', KEYS[2], act.id)
  if not lease then return 'f' end
  local held, is_declared = parse_lease(lease)
  if not is_declared then return 'N' .. lease end
  end_hold(act, held, false)
  finish(act, '1')
  return 't'
end

local function expire(act)
  local ends = call('ZSCORE', KEYS[3], act.id)
  if not ends or tonumber(ends) > now_ms then return 'f' end
  local lease = call('HGET', KEYS[2], act.id)
  if not lease then
    call('ZREM', KEYS[3], act.id)
    return 'f'
  end
  local held, is_declared = parse_lease(lease)
  if not is_declared then return 'N' .. lease end
  end_hold(act, held, true)
  finish(act, lease)
  return 't'
end

-- A call that ended according to a journal: its budgets are charged unless they were. What a live or swept hold of it
-- has charged or holds is replaced; rates stay as the hold left them.
local function assert_settled(act, actual)
  local lease = call('HGET', KEYS[2], act.id)
  local mark = not lease and call('HGET', act.bucket, act.id)
  if mark == '1' then return 'd' end
  local before = lease or mark
  if before then
    local held, is_declared = parse_lease(before)
    if not is_declared then return 'N' .. before end
    for _, charge in ipairs(held) do
      if lease and charge.kind ~= 'r' then drop_held(charge, charge.amount) end
      if mark and charge.kind == 'b' then add_settled(charge, '-' .. charge.amount) end
    end
  end
  for _, charge in ipairs(actual) do add_settled(charge, charge.amount) end
  finish(act, '1')
  return lease and 's' or mark and 'l' or 'u'
end

local function run(text)
  local op, id, bucket, lease_ms, owner, at = match(text, '^(%a)\t([^\t\n]*)\t([^\t\n]*)\t(%d*)\t([^\t\n]*)\n()')
  if not op then return 'Ethe act cannot be read' end
  local act = { id = id, bucket = bucket_keys[bucket], lease_ms = lease_ms, owner = owner, text = text, at = at }
  local charges, is_declared = charges_of(text, at)
  if not is_declared or (not act.bucket and op ~= 'V') then return 'Ethe act names a key that was not declared' end
  if op == 'V' then
    read_slots(charges)
    return 'H' .. states(charges)
  end
  if not is_current then return 'R' end
  if state ~= 'open' and (op == 'R' or op == 'M') then return 'R' end
  if op == 'R' then return reserve(act, charges, false) end
  if op == 'A' then return reserve(act, charges, true) end
  if op == 'M' then return extend(act, charges) end
  if op == 'S' then return settle(act, charges) end
  if op == 'C' then return assert_settled(act, charges) end
  if op == 'F' then return release(act) end
  if op == 'X' then return expire(act) end
  return 'Eunknown act ' .. op
end

local replies = { is_current and '' or ((state or '') .. '\t' .. (epoch or '') .. '\t' .. (version or '')) }
for index = 3, #ARGV do
  local is_done, reply = pcall(run, ARGV[index])
  replies[index - 1] = is_done and reply or 'E' .. (type(reply) == 'table' and reply.err or tostring(reply))
end
-- Half an hour after its last write a bucket is forgotten: an act that comes later goes by reconciliation.
for key in pairs(written_buckets) do call('EXPIRE', key, 1800) end
return replies
