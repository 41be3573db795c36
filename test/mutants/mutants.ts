/**
 * Mistakes that somebody could make in what counts: each one is put into a copy of the project, where a suite has to
 * notice it (`run.ts`). That all of them can still be made is checked with every test run (`mutants.test.ts`).
 */
export type Mutant = {
  readonly part: keyof typeof SUITES
  readonly file: string
  /** What is wrong then. */
  readonly what: string
  /** Text that stands in the file exactly once. */
  readonly from: string
  readonly to: string
}

/** Which suites are asked, the likeliest and quickest first. */
export const SUITES = {
  scripts: [
    "test/simulation/redis-server.test.ts",
    "test/admission/redis-store.test.ts",
    "test/admission/recovery.test.ts",
    "test/simulation/simulation.test.ts",
  ],
  recovery: [
    "test/admission/redis-store.test.ts",
    "test/admission/adopted-calls.test.ts",
    "test/admission/recovery.test.ts",
    "test/simulation/simulation.test.ts",
  ],
  memory: [
    "test/admission/memory-store.test.ts",
    "test/admission/finished-holds.test.ts",
    "test/admission/admit.test.ts",
  ],
  guard: [
    "test/admission/store-guard.test.ts",
    "test/admission/store-guard-model.test.ts",
    "test/simulation/simulation.test.ts",
  ],
  admission: [
    "test/admission/admit.test.ts",
    "test/admission/account-limits.test.ts",
    "test/simulation/simulation.test.ts",
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>

/** The text with the mistake. @throws Error where the place is not there, or is there more than once */
export function withMistake({ file, what, from, to }: Mutant, text: string): string {
  const places = text.split(from).length - 1
  if (places !== 1) throw new Error(`"${what}" (${file}): ${places} places where one is meant`)
  return text.replace(from, () => to)
}

function inFile(
  part: Mutant["part"],
  file: string,
  mistakes: readonly (readonly [string, string, string])[],
): Mutant[] {
  return mistakes.map(([what, from, to]) => ({ part, file: `src/admission/${file}`, what, from, to }))
}

/** Of each: what is wrong, what stands there, what is put in its place. */
export const MUTANTS: readonly Mutant[] = [
  ...inFile("scripts", "scripts/counters.lua", [
    [
      "a cap may not be reached",
      "if sum <= EXACT_MAX then return sum <= tonumber(cap) end",
      "if sum <= EXACT_MAX then return sum < tonumber(cap) end",
    ],
    [
      "what is held does not count",
      "local sum = tonumber(settled) + tonumber(held) + pending + tonumber(amount)",
      "local sum = tonumber(settled) + pending + tonumber(amount)",
    ],
    [
      "what is settled does not count",
      "local sum = tonumber(settled) + tonumber(held) + pending + tonumber(amount)",
      "local sum = tonumber(held) + pending + tonumber(amount)",
    ],
    ["charges of one act on one counter do not add up", "    slot.pending = slot.pending + charge.amount\n", ""],
    [
      "large sums are compared as doubles",
      "if sum <= EXACT_MAX then return sum <= tonumber(cap) end",
      "if sum then return sum <= tonumber(cap) end",
    ],
    ["large sums may not reach the cap", "* 1000000000 + (low - cap_low) <= 0", "* 1000000000 + (low - cap_low) < 0"],
    [
      "a sum of large amounts loses its carry",
      "high, low = high + 1, low - 1000000000",
      "high, low = high, low - 1000000000",
    ],
    ["a rate does not drain", "return math.max(0, debt - cap * elapsed), cap", "return tonumber(debt), cap"],
    ["a clock that was set back fills a rate", "if elapsed < 0 then", "if elapsed < -1e15 then"],
    ["a rate is corrected by too little", "debt + units * charge.period,", "debt + units * 1000,"],
    [
      "a rate is charged too little",
      "slot.debt = slot.debt + charge.amount * charge.period",
      "slot.debt = slot.debt + charge.amount",
    ],
    [
      "a rate may not be used up",
      "* charge.period <= charge.cap * charge.period",
      "* charge.period < charge.cap * charge.period",
    ],
    [
      "a window ends by its first charge's zone",
      "if call('PEXPIREAT', charge.key, until_ms, 'NX') == 0 then call('PEXPIREAT', charge.key, until_ms, 'GT') end",
      "call('PEXPIREAT', charge.key, until_ms, 'NX')",
    ],
    [
      "a window in which only unknown calls were charged never ends",
      "if format('%.0f', after) == amount then register(charge) end",
      "",
    ],
    ["a window that was only held never ends", "      if slot.is_new then register(charge) end\n", ""],
    ["a lost counter goes below zero", "    call('HSET', charge.key, charge.name .. ':h', '0')\n", ""],
    [
      "earlier days of a rolling window have settled nothing",
      "    slot.settled = plus(slot.settled, pair[1] or '0')\n",
      "",
    ],
    [
      "earlier days of a rolling window hold nothing",
      "    slot.earlier_held = plus(slot.earlier_held, pair[2] or '0')\n",
      "",
    ],
    ["soft limits refuse", "return not find(charge.terms, '^[%d,]+[^,]*,s')", "return true"],
    ["hard limits do not refuse", "return not find(charge.terms, '^[%d,]+[^,]*,s')", "return false"],
    ["two charges on one counter are two counters", "      slots[id] = slot\n", ""],
  ]),
  ...inFile("scripts", "scripts/batch.lua", [
    [
      "an act of another epoch is carried out",
      "local is_current = epoch and epoch == ARGV[1] and filled_on == server",
      "local is_current = epoch and filled_on == server",
    ],
    ["calls are admitted while counters are filled", "(op == 'R' or op == 'M')", "(op == 'X' or op == 'M')"],
    [
      "a hold is made twice",
      "if call('HEXISTS', KEYS[2], act.id) == 1 then",
      "if call('HEXISTS', KEYS[2], act.id) == 2 then",
    ],
    ["a call that is over is held again", "  if mark then return mark == '1' and 'd' or 'g' end\n", ""],
    [
      "what has expired is said to be settled",
      "if mark then return mark == '1' and 'd' or 'g' end",
      "if mark then return 'd' end",
    ],
    ["a running call is not held again where the cap is reached", "if not is_forced then", "if act then"],
    ["a lease ends at once", "format('%.0f', now_ms + act.lease_ms)", "format('%.0f', now_ms)"],
    ["holds of one tick have no order", "  now_us = now_us + 1\n", ""],
    ["a denial does not tell of due leases", "'D' .. index .. ',' .. #due", "'D' .. index .. ',' .. 0"],
    ["a denial names the wrong limit", "return 'D' .. index", "return 'D' .. index + 1"],
    ["more replaces what was held", "known.amount = plus(known.amount, charge.amount)", "known.amount = charge.amount"],
    ["more is not written to the hold", "  put_lease(act, since, owner, table.concat(lines))\n", ""],
    [
      "more is given without room",
      "  read_slots(charges)\n" +
        "  local index = first_without_room(charges)\n" +
        "  if index then return denied(index, charges) end\n" +
        "  take(charges)\n" +
        "  local held",
      "  read_slots(charges)\n" + "  take(charges)\n" + "  local held",
    ],
    [
      "a hold is settled by charges of something else",
      "    if other.name ~= charge.name or other.window ~= charge.window then return false end\n",
      "",
    ],
    [
      "a settle gives back what was used, not what was held",
      "drop_held(charge, held_amount)",
      "drop_held(charge, charge.amount)",
    ],
    [
      "a settle charges what was held",
      "if charge.kind == 'b' then add_settled(charge, charge.amount) end\n" +
        "      end\n" +
        "    end\n" +
        "    finish",
      "if charge.kind == 'b' then add_settled(charge, held_amount) end\n" + "      end\n" + "    end\n" + "    finish",
    ],
    [
      "a settle charges a rate once more",
      "add_debt(charge, charge.amount - held_amount)",
      "add_debt(charge, charge.amount)",
    ],
    [
      "a settle that comes twice is charged twice",
      "  local mark = call('HGET', act.bucket, act.id)\n" + "  if mark == '1' then return 'd' end\n" + "  local swept",
      "  local mark = call('HGET', act.bucket, act.id)\n" +
        "  if mark == '1' then mark = false end\n" +
        "  local swept",
    ],
    [
      "the late truth is charged on top of expiry",
      "      if swept and swept[index] then add_settled(charge, '-' .. swept[index].amount) end\n",
      "",
    ],
    [
      "the late truth charges a rate again",
      "elseif charge.kind == 'r' and (not swept or charge.period > 60000) then",
      "elseif charge.kind == 'r' then",
    ],
    [
      "an unknown call is not charged",
      "  for index, charge in ipairs(actual) do\n" +
        "    if charge.kind == 'b' then\n" +
        "      add_settled(charge, charge.amount)",
      "  for index, charge in ipairs(actual) do\n" +
        "    if charge.kind == 'b' and swept then\n" +
        "      add_settled(charge, charge.amount)",
    ],
    ["a finished id is forgotten", "  call('HSET', act.bucket, act.id, mark)\n", ""],
    ["a hold outlives its end", "  call('HDEL', KEYS[2], act.id)\n", ""],
    ["a lease outlives its hold", "  call('ZREM', KEYS[3], act.id)\n" + "  written", "  written"],
    [
      "what needs memory is written last",
      "  call('HSET', act.bucket, act.id, mark)\n" +
        "  call('HDEL', KEYS[2], act.id)\n" +
        "  call('ZREM', KEYS[3], act.id)",
      "  call('HDEL', KEYS[2], act.id)\n" +
        "  call('ZREM', KEYS[3], act.id)\n" +
        "  call('HSET', act.bucket, act.id, mark)",
    ],
    ["expiry charges nothing", "if is_expiry and charge.kind == 'b' then add_settled(charge, charge.amount) end", ""],
    ["a release charges like expiry", "  end_hold(act, held, false)\n", "  end_hold(act, held, true)\n"],
    ["what ends gives a rate nothing back", "      add_debt(charge, -charge.amount)\n", ""],
    [
      "a lease lasts one moment longer",
      "if not ends or tonumber(ends) > now_ms then return 'f' end",
      "if not ends or tonumber(ends) >= now_ms then return 'f' end",
    ],
    [
      "a renewed hold expires",
      "if not ends or tonumber(ends) > now_ms then return 'f' end",
      "if not ends then return 'f' end",
    ],
    ["expiry forgets what it charged", "  finish(act, lease)\n", "  finish(act, '1')\n"],
    [
      "a journal's row is charged although its call was settled",
      "  if mark == '1' then return 'd' end\n" + "  local before",
      "  if mark == '1' then mark = false end\n" + "  local before",
    ],
    [
      "a journal's row leaves what its hold holds",
      "      if lease and charge.kind ~= 'r' then drop_held(charge, charge.amount) end\n",
      "",
    ],
    [
      "a journal's row is charged on top of expiry",
      "      if mark and charge.kind == 'b' then add_settled(charge, '-' .. charge.amount) end\n",
      "",
    ],
    ["finished ids are forgotten after a minute", "call('EXPIRE', key, 1800)", "call('EXPIRE', key, 60)"],
    [
      "one bad act spoils the others",
      "local is_done, reply = pcall(run, ARGV[index])",
      "local is_done, reply = true, run(ARGV[index])",
    ],
  ]),
  ...inFile("scripts", "scripts/server.lua", [
    ["one server is like another", "string.match(info, 'master_replid:(%x+)') or ''", "''"],
  ]),
  ...inFile("recovery", "scripts/begin.lua", [
    ["counters of another server are whole", "not epoch or filled_on ~= server or", "not epoch or"],
    ["an epoch that is known to be no good is kept", " or (ARGV[4] ~= '' and epoch == ARGV[4])", ""],
    [
      "nobody takes the place of a coordinator that is gone",
      "<= now_ms and coordinator ~= ARGV[1]",
      "<= 0 and coordinator ~= ARGV[1]",
    ],
    ["a new beginning keeps what others have answered", "  redis.call('DEL', KEYS[1])\n", ""],
  ]),
  ...inFile("recovery", "scripts/load.lua", [
    ["what was counted before stays", "  for index = 2, #KEYS do redis.call('DEL', KEYS[index]) end\n", ""],
    ["anybody may load", "coordinator ~= ARGV[2] or state", "state"],
    ["a snapshot of another epoch is loaded", "if epoch ~= ARGV[1] or filled_on", "if filled_on"],
    ["counters are loaded twice", "state ~= 'recovering' or loaded then", "state ~= 'recovering' then"],
    ["a loaded window never ends", "    redis.call('PEXPIREAT', key, ends)\n", ""],
    [
      "nobody learns what of the journals is in",
      "for index = amounts_end + 1, #ARGV, 2 do",
      "for index = amounts_end + 1, 0, 2 do",
    ],
  ]),
  ...inFile("recovery", "scripts/mark.lua", [
    [
      "a proxy answers before the counters are in",
      "if ARGV[2] == 'answered' and loaded then",
      "if ARGV[2] == 'answered' then",
    ],
    [
      "calls are admitted before the counters are in",
      "if ARGV[2] == 'open' and loaded then",
      "if ARGV[2] == 'open' then",
    ],
    [
      "an answer of another epoch counts",
      "if epoch ~= ARGV[1] or filled_on ~= server then",
      "if filled_on ~= server then",
    ],
  ]),
  ...inFile("scripts", "scripts/due.lua", [
    ["leases end while counters are filled", " or state ~= 'open' then", " then"],
  ]),
  ...inFile("scripts", "scripts/renew.lua", [
    ["a renewal prolongs nothing", "    redis.call('ZADD', KEYS[3], until_ms, id)\n", ""],
  ]),
  ...inFile("recovery", "scripts/renew.lua", [
    ["holds are missed on another server", "epoch ~= ARGV[1] or filled_on ~= server then", "epoch ~= ARGV[1] then"],
  ]),
  ...inFile("recovery", "scripts/retract.lua", [
    [
      "a newer recovery is taken off the list",
      "if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end\n",
      "",
    ],
  ]),
  ...inFile("memory", "counter.ts", [
    [
      "a cap may not be reached",
      "return counter.settled + counter.held + amount <= counter.cap",
      "return counter.settled + counter.held + amount < counter.cap",
    ],
    [
      "what is held does not count",
      "return counter.settled + counter.held + amount <= counter.cap",
      "return counter.settled + amount <= counter.cap",
    ],
    [
      "a rate does not drain",
      "  counter.debt = left > 0n ? left : 0n\n" + "}\n" + "\n" + "/** Whether",
      "}\n" + "\n" + "/** Whether",
    ],
    [
      "a clock that was set back fills a rate",
      "if (elapsedMs <= 0 || counter.debt === 0n) return",
      "if (counter.debt === 0n) return",
    ],
    [
      "a settle charges what was held",
      '  if (counter.kind === "budget") counter.settled += actualAmount\n',
      '  if (counter.kind === "budget") counter.settled += heldAmount\n',
    ],
    ["expiry charges nothing", "settle(counter, heldAmount, heldAmount)", "settle(counter, heldAmount, 0n)"],
    ["a rate is given back more than it owes", "  counter.debt = debt > 0n ? debt : 0n\n", "  counter.debt = debt\n"],
    [
      "a wait is told too short",
      "return Number((dividend + divisor - 1n) / divisor)",
      "return Number(dividend / divisor)",
    ],
  ]),
  ...inFile("memory", "memory-counters.ts", [
    ["a denied act keeps what it took", "        this.undo(charges, counters)\n", ""],
    [
      "soft limits refuse",
      "if (refuses(charge.limit) && !this.#hasRoom(charge, counter)) {\n" + "        this.undo",
      "if (!this.#hasRoom(charge, counter)) {\n" + "        this.undo",
    ],
    ["a changed cap does not count", "    counter.cap = charge.limit.cap\n", ""],
    [
      "a raised rate reaches back",
      "    drain(counter, nowMs)\n" + "    counter.cap = charge.limit.cap\n",
      "    counter.cap = charge.limit.cap\n" + "    drain(counter, nowMs)\n",
    ],
    [
      "earlier days of a rolling window do not count",
      "return hasRoom(counter, charge.amount + settled + held)",
      "return hasRoom(counter, charge.amount)",
    ],
    [
      "a counter under a live hold is dropped",
      "if (counter.liveHolds === 0 && (isPast || isBlank(counter)))",
      "if (isPast || isBlank(counter))",
    ],
    [
      "seeding forgets when a window ends",
      "newBudgetCounter(msMax === null ? null : nowMs + msMax, nowMs)",
      "newBudgetCounter(null, nowMs)",
    ],
  ]),
  ...inFile("memory", "memory-store.ts", [
    [
      "a settle that comes twice is charged twice",
      '    if (this.#finished.isDone(id)) return "done"\n' + "    const swept",
      "    const swept",
    ],
    [
      "the late truth is charged on top of expiry",
      "settleLate(counter, held.amount, charge.amount)",
      "settleLate(counter, 0n, charge.amount)",
    ],
    [
      "a denial rests on leases that have ended",
      'return taken.kind === "denied" && this.#expireDue(nowMs) > 0 ?',
      'return taken.kind === "denied" && nowMs < 0 ?',
    ],
    ["expiry forgets what it charged", "      this.#finished.addSwept(hold.id, hold.charges, nowMs)\n", ""],
    [
      "a release does not end its hold's id",
      "    this.#endHold(hold, nowMs, giveBack)\n" + "    this.#finished.addDone(id, nowMs)\n",
      "    this.#endHold(hold, nowMs, giveBack)\n",
    ],
    ["more replaces what was held", "amount: held.amount + charge.amount }", "amount: charge.amount }"],
    ["a renewal prolongs nothing", "if (hold !== undefined) hold.leaseUntilMs = leaseUntilMs\n", ""],
    [
      "a hold is settled by charges of something else",
      "  if (!isSame) throw new Error(",
      "  if (held.length < 0) throw new Error(",
    ],
    [
      "a negative amount is taken",
      "    if (amount < 0n) throw new RangeError(",
      "    if (amount < -1_000n) throw new RangeError(",
    ],
  ]),
  ...inFile("memory", "finished-holds.ts", [
    ["a settled hold stays swept", "    this.#swept.delete(id)\n" + "    this.#openBucket", "    this.#openBucket"],
    ["ids are forgotten after ten minutes", "const REMEMBERED_MS = 30 * 60_000", "const REMEMBERED_MS = 1 * 60_000"],
    [
      "there is no end of swept holds",
      "    if (this.#swept.size > this.#bounds.sweptMax) this.#forgetOldestSwept()\n",
      "",
    ],
    [
      "there is no end of finished ids",
      "    if (this.#buckets.length > this.#bounds.bucketsMax) this.#buckets.pop()\n",
      "",
    ],
  ]),
  ...inFile("guard", "local-share.ts", [
    ["each proxy may spend all that is left", "return left < 0n ? left : left / shares", "return left"],
    ["an overspent budget has room for nothing", "return left < 0n ? left : left / shares", "return left / shares"],
    [
      "what was held when it was last seen is free",
      "limit.cap - sight.seen.settled - sight.seen.held",
      "limit.cap - sight.seen.settled",
    ],
    [
      "an old sight is good",
      "if (sight !== undefined && outage.sinceMs - sight.atMs <= SIGHT_AGE_MS_MAX) {",
      "if (sight !== undefined) {",
    ],
    [
      "a share grows as proxies go",
      "this.#proxies = this.isInUse ? Math.max(this.#proxies, proxies) : proxies",
      "this.#proxies = proxies",
    ],
    ["a refused call keeps what it took", "      undo(charges, locals)\n", ""],
    [
      "what a call used is not what it holds",
      "settle(local.counter, call.charges[index]?.amount ?? 0n, ended[index]?.amount ?? 0n)",
      "settle(local.counter, call.charges[index]?.amount ?? 0n, 0n)",
    ],
    [
      "an older reply takes away what it does not include",
      "local.told === 0n || actNumber <= local.toldAtAct",
      "local.told === 0n",
    ],
    [
      "what the store was told counts here for ever",
      "      local.counter.settled -= local.told\n" +
        "      local.told = 0n\n" +
        "      this.#dropIfBlank(local)\n" +
        "    }\n" +
        "  }\n" +
        "\n" +
        "  /** While",
      "    }\n" + "  }\n" + "\n" + "  /** While",
    ],
    [
      "rates have no shares",
      'if (counterKind(limit) !== "budget" && !owesLate(limit)) return limit.cap / shares',
      'if (counterKind(limit) !== "budget") return limit.cap',
    ],
    [
      "a window that began before the outage is new",
      "return endsAtMs !== null && resetsAtMs > endsAtMs",
      "return endsAtMs !== null",
    ],
    [
      "limits that let nothing pass let pass",
      'if (policy === "deny") return refuse("policy")',
      'if (policy === "deny") continue',
    ],
  ]),
  ...inFile("guard", "store-guard.ts", [
    [
      "an unanswered settle is forgotten",
      "          this.#onFailure(error, sentMs, actual)\n" + "          this.#keep(id, actual)\n",
      "          this.#onFailure(error, sentMs, actual)\n",
    ],
    [
      "a hold whose answer was lost is left",
      'if (reply.kind !== "held" && asking.mayBeHeld) this.#keep(',
      'if (reply.kind === "done" && asking.mayBeHeld) this.#keep(',
    ],
    [
      "a settle while the store is away is forgotten",
      "    if (this.isAway) {\n" + "      this.#keep(id, actual)\n",
      "    if (this.isAway) {\n",
    ],
    ["local calls are lost to a renewal", "lost.then((some) => some.filter((id) => !this.#share.has(id)))", "lost"],
    [
      "a local call is not settled where it was admitted",
      "    if (this.#share.isInUse) this.#share.settle(id, actual, this.#elapsedMs())\n",
      "",
    ],
    [
      "a local call is released as if the store held it",
      "if (this.isAway || this.#share.has(id)) return Promise.resolve(false)",
      "if (this.isAway) return Promise.resolve(false)",
    ],
    [
      "the store is asked while it is away",
      "    if (this.isAway) {\n" + "      answered(this.#decide(asking, false))\n" + "      return\n" + "    }\n",
      "",
    ],
    ["replies are no sights", "      this.#sights.note(charges, reply.counters, actNumber, sentMs)\n", ""],
    [
      "what was told is never taken off the share",
      "      if (this.#share.isInUse) this.#share.seen(charges, actNumber)\n",
      "",
    ],
    ["a store that comes back is not believed", "    if (isAnswering && wasAway) this.#comeBack()\n", ""],
    ["settles are dropped without a word", "    this.#options.onOverflow(organizationId)\n", ""],
    [
      "a probe writes nothing",
      "charges.length === 0 ? this.#store.sweep()",
      "charges.length >= 0 ? this.#store.sweep()",
    ],
  ]),
  ...inFile("guard", "extensions.ts", [
    ["what grows after its call is counted for ever", "    if (underWay !== undefined) underWay.isOver = true\n", ""],
  ]),
  ...inFile("guard", "waiting-settles.ts", [
    [
      "the last settle of a hold counts",
      "if (this.#byId.has(settle.id)) return true",
      "if (this.#byId.has(settle.id)) this.#byId.delete(settle.id)",
    ],
    ["there is no end of waiting settles", "    if (this.#byId.size >= this.#max) return false\n", ""],
  ]),
  ...inFile("guard", "send-waiting.ts", [
    [
      "an outage's worth of a rate is charged at its end",
      "sentMs - settle.sinceMs < MINUTE_MS ? settle.actual : withoutShortRates(settle.actual)",
      "settle.actual",
    ],
    [
      "a settle is sent that the store may have forgotten",
      "      onGivenUp(settle)\n" + "    }\n" + "    const settles",
      "    }\n" + "    const settles",
    ],
    ["one bad settle keeps the store away", "settles[this.#probesFailed % settles.length]", "settles[0]"],
  ]),
  ...inFile("admission", "admit.ts", [
    [
      "a release leaves what expiry charged",
      "    await this.#store.settle(hold.id, actualCharges(hold.charges, NOTHING))\n",
      "",
    ],
    [
      "an account's refusal leaves what the first step holds",
      "      if (!isHeld) await this.release(first.hold)\n",
      "",
    ],
    [
      "an ended call is renewed",
      "    this.#liveOf(hold)?.delete(hold.id)\n" + "    return this.#store.settle",
      "    return this.#store.settle",
    ],
    [
      "a running call is not among the live ones",
      "charges.length > 0) this.#addLive(held.hold)",
      "charges.length < 0) this.#addLive(held.hold)",
    ],
  ]),
  ...inFile("recovery", "recovery.ts", [
    [
      "running calls are not asserted",
      "    await store.assertHolds(organizationId, proxy, leaseMs, liveHolds(organizationId))\n",
      "",
    ],
    ["ended calls are not asserted", "    await store.assertSettled(organizationId, ended.rows, nowMs())\n", ""],
    [
      "a journal that has forgotten is believed",
      '    if (ended.kind === "gap") {\n' +
        "      one.badEpoch = standing.epoch\n" +
        "      return false\n" +
        "    }\n",
      '    if (ended.kind === "gap") return true\n',
    ],
    [
      "a clock that is set forward ends the wait for others",
      "Math.min(loadedForMs, this.#options.elapsedMs() - one.loadedSeenMs)",
      "loadedForMs",
    ],
    [
      "nobody is waited for",
      "if (!proxies.every((name) => standing.answeredBy.has(name))) return waitMs",
      "if (proxies.length === 0) return waitMs",
    ],
    [
      "a silent proxy is waited for for ever",
      "one.loadedSeenMs) < leaseMs) {\n" + "      const",
      "one.loadedSeenMs) >= 0) {\n" + "      const",
    ],
    [
      "it is never taken off the list",
      'if (one.listedEpoch !== "") await acts.retract(organizationId, one.listedEpoch)\n',
      "",
    ],
    [
      "all of a journal is asserted, whatever the snapshot has",
      "standing.acks.get(ownJournalId) ?? 0",
      "standing.acks.get(ownJournalId) === 0 ? 1 : 0",
    ],
  ]),
  ...inFile("recovery", "redis-batch.ts", [
    [
      "a hold under an epoch that has passed is believed",
      'hasNewEpoch && (one.act.op === "R" || one.act.op === "M")',
      'hasNewEpoch && one.act.op === "M"',
    ],
    [
      "what waits goes out under the next epoch",
      "    this.flush()\n" + "    this.#epoch = epoch",
      "    this.#epoch = epoch",
    ],
  ]),
  ...inFile("recovery", "redis-store.ts", [
    [
      "a denial rests on leases that have ended",
      "return isDenialToReview(reply) ? this.#askAfterSweep(batch, act, charges) : reserveReply(reply, charges)",
      "return reserveReply(reply, charges)",
    ],
  ]),
  ...inFile("recovery", "adopted-calls.ts", [
    [
      "old calls are charged although the store may have forgotten them",
      "!isOld(adopted.writtenAtMs) && !own.some(({ id }) => isOld(uuidv7TimeMs(id)))",
      "true",
    ],
    [
      "a snapshot that was just loaded is believed",
      "loadedForMs !== null && loadedForMs > SNAPSHOT_DOUBT_MS",
      "loadedForMs !== null",
    ],
  ]),
]
