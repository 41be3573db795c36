-- Not an act: what the acts share, counters and charges.
-- A charge is a line `window \t limit|subject \t kind \t cap \t window end ms or '' \t limit's terms \t amount`, kind one
-- of b (budget), w (budget over rolling days), c (calls in flight), or a rate's: s, r, h, d, per second, minute, hour and
-- day; six terms with commas between, and a
-- seventh, `soft` or `shadow`, of a limit that refuses nothing; of w always seven, and an eighth, the names of its
-- earlier windows with semicolons between. Fields of a window's hash: `<limit|subject>:s` settled, `:h` held,
-- `:r` a rate's `debt time cap`, debt in units x the period in ms. Amounts move as decimal strings by HINCRBY, which is exact to
-- 2^63 (only what a settle or a journal charges may be negative); sums are compared as doubles up to 2^53 and in two halves beyond; a rate's debt is a double (exact to 1.5e11
-- units a minute and 1e8 a day, beyond that within one part in 10^15).
-- Needs: now_ms, and KEYS[4], the zset of the organization's budget windows by when their hash may go.
local call, find, match, sub, format = redis.call, string.find, string.match, string.sub, string.format
local EXACT_MAX = 9007199254740991
local KEPT_AFTER_END_MS = 172800000
local CHARGE = '^([^\t\n]*)\t([^\t\n]*)\t([bwcsrhd])\t(%d+)\t(%d*)\t([^\t\n]*)\t(%-?%d+)\n'

-- Kind -> milliseconds in which a rate drains by its cap.
local RATE_PERIODS_MS = { s = 1000, r = 60000, h = 3600000, d = 86400000 }

-- Window id -> its key, of the keys that were declared.
local window_keys = {}

-- The charges in `text` from `at` on. Second result: whether the keys of all their windows were declared.
local function charges_of(text, at)
  local charges, count, is_declared = {}, 0, true
  while true do
    local from, to, window, name, kind, cap, ends, terms, amount = find(text, CHARGE, at)
    if not from then break end
    local key = window_keys[window]
    if not key then is_declared = false end
    local letter, period = kind, RATE_PERIODS_MS[kind]
    if period then kind = 'r' elseif kind == 'w' then kind = 'b' end
    count = count + 1
    charges[count] = {
      is_rolling = letter == 'w', letter = letter, period = period,
      key = key, window = window, name = name, kind = kind, cap = cap, ends = ends, terms = terms, amount = amount
    }
    at = to + 1
  end
  return charges, is_declared
end

local function charge_line(charge)
  return table.concat({
    charge.window, charge.name, charge.letter, charge.cap, charge.ends, charge.terms, charge.amount
  }, '\t') .. '\n'
end

local function halves(digits)
  if sub(digits, 1, 1) == '-' then
    local high, low = halves(sub(digits, 2))
    return -high, -low
  end
  return tonumber(sub(digits, 1, -10)) or 0, tonumber(sub(digits, -9))
end

-- Whether settled + held + pending + amount <= cap, exactly; only `pending` (of this act's own charges) is a number.
local function fits(settled, held, pending, amount, cap)
  local sum = tonumber(settled) + tonumber(held) + pending + tonumber(amount)
  if sum <= EXACT_MAX then return sum <= tonumber(cap) end
  local high, low = 0, 0
  for _, digits in ipairs({ settled, held, format('%.0f', pending), amount }) do
    local more_high, more_low = halves(digits)
    high, low = high + more_high, low + more_low
  end
  local cap_high, cap_low = halves(cap)
  return (high - cap_high) * 1000000000 + (low - cap_low) <= 0
end

-- The sum of two amounts as decimal digits.
local function plus(left, right)
  local sum = tonumber(left) + tonumber(right)
  if sum <= EXACT_MAX then return format('%.0f', sum) end
  local high, low = halves(left)
  local more_high, more_low = halves(right)
  high, low = high + more_high, low + more_low
  if low >= 1000000000 then high, low = high + 1, low - 1000000000 end
  return format('%.0f%09.0f', high, low)
end

-- A rate's debt drained to the present by the cap of its latest charge, and that cap. A clock that was set back drains
-- nothing and loses nothing.
local function debt_of(key, name)
  local packed = call('HGET', key, name .. ':r')
  if not packed then return 0, nil end
  local debt, at, cap = match(packed, '^(%d+) (%d+) (%d+)$')
  local elapsed = now_ms - at
  if elapsed < 0 then
    call('HSET', key, name .. ':r', debt .. ' ' .. format('%.0f', now_ms) .. ' ' .. cap)
    return tonumber(debt), cap
  end
  return math.max(0, debt - cap * elapsed), cap
end

local function put_debt(key, name, debt, cap)
  if debt <= 0 then
    call('HDEL', key, name .. ':r')
  else
    call('HSET', key, name .. ':r', format('%.0f', debt) .. ' ' .. format('%.0f', now_ms) .. ' ' .. cap)
  end
end

-- Corrects a rate by `units`, below zero as well; what has drained cannot be given back.
local function add_debt(charge, units, cap)
  local debt, latest_cap = debt_of(charge.key, charge.name)
  put_debt(charge.key, charge.name, debt + units * charge.period, cap or latest_cap or charge.cap)
end

-- A budget was counted in this window for the first time: its hash ends two days after the latest end that is known.
local function register(charge)
  if charge.ends == '' then
    call('ZADD', KEYS[4], 'inf', charge.window)
    return
  end
  local until_ms = format('%.0f', charge.ends + KEPT_AFTER_END_MS)
  if call('PEXPIREAT', charge.key, until_ms, 'NX') == 0 then call('PEXPIREAT', charge.key, until_ms, 'GT') end
  call('ZREMRANGEBYSCORE', KEYS[4], '-inf', format('%.0f', now_ms))
  call('ZADD', KEYS[4], 'GT', until_ms, charge.window)
end

-- Moves what a budget has settled by `amount`: decimal digits, or those with a '-' before them.
local function add_settled(charge, amount)
  if amount == '0' or amount == '-0' then return end
  local after = call('HINCRBY', charge.key, charge.name .. ':s', amount)
  if format('%.0f', after) == amount then register(charge) end
end

-- Takes back what a hold had taken. A counter that was lost meanwhile does not go below zero.
local function drop_held(charge, amount)
  if amount == '0' then return end
  if call('HINCRBY', charge.key, charge.name .. ':h', '-' .. amount) < 0 then
    call('HSET', charge.key, charge.name .. ':h', '0')
  end
end

-- Adds the earlier days of a rolling window to what today's counter says.
local function add_earlier(charge, slot)
  slot.earlier_held = '0'
  for window in string.gmatch(match(charge.terms, '[^,]*$'), '[^;]+') do
    local key = window_keys[window] or error('an earlier window was not declared')
    local pair = call('HMGET', key, charge.name .. ':s', charge.name .. ':h')
    slot.settled = plus(slot.settled, pair[1] or '0')
    slot.earlier_held = plus(slot.earlier_held, pair[2] or '0')
  end
  slot.held = plus(slot.held, slot.earlier_held)
end

-- Reads the counter of each charge into `charge.slot`; charges on the same counter share one.
local function read_slots(charges)
  local slots = {}
  for _, charge in ipairs(charges) do
    local id = charge.window .. '\t' .. charge.name
    local slot = slots[id]
    if not slot then
      slot = { pending = 0 }
      if charge.kind == 'r' then
        slot.debt = debt_of(charge.key, charge.name)
      elseif charge.kind == 'c' then
        slot.settled, slot.held = '0', call('HGET', charge.key, charge.name .. ':h') or '0'
      else
        local pair = call('HMGET', charge.key, charge.name .. ':s', charge.name .. ':h')
        slot.is_new = not pair[1] and not pair[2]
        slot.settled, slot.held = pair[1] or '0', pair[2] or '0'
        if charge.is_rolling then add_earlier(charge, slot) end
      end
      slots[id] = slot
    end
    charge.slot = slot
  end
end

-- Whether the charge's limit refuses; asked only where there is no room.
local function refuses(charge)
  return not find(charge.terms, '^[%d,]+[^,]*,s')
end

-- Index from 0 of the first charge without room whose limit refuses, or nil. Charges on one counter add up. Needs slots.
local function first_without_room(charges)
  for index, charge in ipairs(charges) do
    local slot = charge.slot
    local has_room
    if charge.kind == 'r' then
      has_room = slot.debt + (slot.pending + charge.amount) * charge.period <= charge.cap * charge.period
    else
      has_room = fits(slot.settled, slot.held, slot.pending, charge.amount, charge.cap)
    end
    if not has_room and refuses(charge) then return index - 1 end
    slot.pending = slot.pending + charge.amount
  end
  return nil
end

-- Takes all charges. Needs slots, which then say what the counters say.
local function take(charges)
  for _, charge in ipairs(charges) do
    local slot = charge.slot
    if charge.kind == 'r' then
      slot.debt = slot.debt + charge.amount * charge.period
      put_debt(charge.key, charge.name, slot.debt, charge.cap)
    elseif charge.amount ~= '0' then
      local field = charge.name .. ':h'
      local held = call('HINCRBY', charge.key, field, charge.amount)
      slot.held = held <= EXACT_MAX and format('%.0f', held) or call('HGET', charge.key, field)
      if slot.earlier_held then slot.held = plus(slot.held, slot.earlier_held) end
      if slot.is_new then register(charge) end
      slot.is_new = false
    end
  end
end

-- `settled,held` of each charge's counter, a rate's debt alone, with blanks between. Needs slots.
local function states(charges)
  local list = {}
  for index, charge in ipairs(charges) do
    local slot = charge.slot
    list[index] = slot.debt and format('%.0f', slot.debt) or (slot.settled .. ',' .. slot.held)
  end
  return table.concat(list, ' ')
end
