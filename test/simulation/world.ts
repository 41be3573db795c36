/**
 * Three proxies, one Redis, one ledger, calls, and everything that can go wrong between them, all from one seed. What is
 * promised is checked at every step; what is promised for later, when all has come to rest.
 */
import { counterName } from "../../src/admission/limit-store.ts"
import { readLease } from "../../src/admission/redis-charges.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { limitOf } from "../contract/limit-store.ts"
import type { ServerState } from "./connection.ts"
import { type Journal, Ledger } from "./ledger.ts"
import { LEASE_MS, SimulatedProxy } from "./proxy.ts"
import type { RedisData } from "./redis-data.ts"
import { RedisServer } from "./redis-server.ts"
import { Random, VirtualTime } from "./virtual-time.ts"

const PROXIES = 3
const CAP = 1_000
const ACTIVE_MS = 6_000
/** Longer than a lease, a sweep and the longest back-off. */
const REST_MS = 13_000
const CALLS_MAX = 70
const SLICE = 40
const FAULTS_MAX = 6
/** A promoted replica, or an append-only file, is up to so much behind. */
const LOST_MS_MAX = 1_000
const COPY_EVERY_MS = 120
/** Half a minute before midnight less the run, so that some runs see the day change. */
const MIDNIGHT_MS = Date.UTC(2026, 10, 24)
export const FAULTS = [
  "flush",
  "restart",
  "lose",
  "hang",
  "slow",
  "read-only",
  "clock",
  "break",
  "crash",
  "freeze",
  "ledger",
] as const
export type Fault = (typeof FAULTS)[number]

export type Outcome = {
  /** What was broken; null where every promise was kept. */
  readonly broken: string | null
  readonly admitted: number
  readonly local: number
  /** Slices that streams were given. */
  readonly extended: number
  readonly faults: readonly Fault[]
  readonly events: readonly string[]
}

type Call = {
  readonly id: string
  readonly proxy: string
  bound: bigint
  used: bigint | null
  isCut: boolean
  readonly charged: ReadonlySet<string>
}

export class BrokenPromise extends Error {}

export class World {
  readonly time = new VirtualTime()
  readonly random: Random
  readonly ledger = new Ledger()
  readonly redis: ServerState
  readonly #policy: "deny" | "local"
  /** Half of the lives have streams that hold more as they flow. */
  readonly #sliceTokens: number | null
  readonly #startMs: number
  #limits: readonly Limit[]
  /** The largest cap that was ever in force. */
  #capMax = BigInt(CAP)
  #proxies: SimulatedProxy[] = []
  readonly #calls = new Map<string, Call>()
  #copies: { atMs: number; data: RedisData }[] = []
  #serverSkewMs = 0
  #us = 0
  #serial = 0
  #isAtRest = false
  #broken: unknown = null
  readonly #faults: Fault[] = []
  readonly #frozenAtMs = new Map<string, number>()
  readonly #events: string[] = []
  #admitted = 0
  #local = 0
  #extended = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    this.#policy = this.random.chance(65) ? "deny" : "local"
    this.#sliceTokens = this.random.chance(50) ? SLICE : null
    this.#startMs = MIDNIGHT_MS - this.random.whole(0, 20_000)
    this.#limits = this.#limitsWith(BigInt(CAP))
    const server = new RedisServer(() => this.#nowUs())
    const onDone = () => this.#checkCounters()
    this.redis = { server, hungUntilMs: 0, slowUntilMs: 0, slowMs: 0, isDown: false, onDone }
  }

  /** Milliseconds since 1970 by a clock that is right. */
  get epochMs(): number {
    return this.#startMs + Math.floor(this.time.nowMs)
  }

  #nowUs(): number {
    this.#us += 1
    return (this.epochMs + this.#serverSkewMs) * 1_000 + (this.#us % 1_000)
  }

  #limitsWith(cap: bigint): readonly Limit[] {
    const common = { onStoreFailure: this.#policy, cap }
    const sliceTokens = this.#sliceTokens
    return [
      limitOf({ ...common, id: "day", kind: "usd", window: "day", sliceTokens }),
      limitOf({ ...common, id: "life", sliceTokens }),
      limitOf({ ...common, id: "soft", cap: cap / 4n, enforcement: "soft" }),
      limitOf({ ...common, id: "rate", window: "minute", cap: 100_000n }),
      limitOf({ ...common, id: "slots", kind: "concurrency", window: "none", cap: 50n }),
    ]
  }

  /** A fault of the code under test; the run ends with it. */
  fail(error: unknown): void {
    this.#broken ??= error
  }

  tell(what: string): void {
    this.#events.push(`${Math.round(this.time.nowMs)} ${what}`)
  }

  async run(): Promise<Outcome> {
    this.time.install()
    try {
      await this.#live()
    } catch (error) {
      this.fail(error)
    } finally {
      this.time.uninstall()
    }
    const broken =
      this.#broken === null
        ? null
        : this.#broken instanceof BrokenPromise
          ? this.#broken.message
          : String((this.#broken as Error).stack ?? this.#broken)
    const [admitted, local, extended] = [this.#admitted, this.#local, this.#extended]
    return { broken, admitted, local, extended, faults: this.#faults, events: this.#events }
  }

  async #live(): Promise<void> {
    const { time, random } = this
    for (let at = 0; at < PROXIES; at += 1) await this.#startProxy()
    this.#copySometimes()
    const calls = random.whole(10, CALLS_MAX)
    for (let call = 0; call < calls; call += 1) time.after(random.whole(0, ACTIVE_MS), () => this.#call(), "")
    const faults = random.whole(0, FAULTS_MAX)
    for (let fault = 0; fault < faults; fault += 1)
      time.after(random.whole(100, ACTIVE_MS), () => this.#fault(random.of(FAULTS)), "")
    if (random.chance(40)) time.after(random.whole(0, ACTIVE_MS), () => this.#changeCap(), "")
    await this.#runUntil(ACTIVE_MS)
    this.#heal()
    await this.#runUntil(ACTIVE_MS + 3_000)
    // The next call is what meets counters that are gone.
    for (const proxy of this.#proxies) void this.#callOn(proxy, 1n)
    await this.#runUntil(ACTIVE_MS + 3_000 + REST_MS)
    for (const proxy of this.#proxies) void this.#callOn(proxy, 1n)
    await this.#runUntil(ACTIVE_MS + 8_000 + REST_MS)
    this.#checkRest()
  }

  async #runUntil(ms: number): Promise<void> {
    while (this.time.nowMs < ms) {
      await this.time.run(Math.min(ms, this.time.nowMs + 50))
      if (this.#broken !== null) throw this.#broken
    }
  }

  async #startProxy(): Promise<void> {
    this.#serial += 1
    const name = `p${this.#serial}`
    await this.time.as(name, () => {
      const proxy = new SimulatedProxy(this, name, PROXIES)
      this.#proxies.push(proxy)
      proxy.start()
    })
  }

  #copySometimes(): void {
    const { nowMs } = this.time
    this.#copies.push({ atMs: nowMs, data: this.redis.server.data.copy() })
    this.#copies = this.#copies.filter(({ atMs }) => nowMs - atMs <= LOST_MS_MAX)
    if (!this.#isAtRest) this.time.after(COPY_EVERY_MS, () => this.#copySometimes(), "")
  }

  #call(): void {
    // All may be dead at once.
    if (this.#proxies.length === 0) return
    const proxy = this.random.of(this.#proxies)
    if (!this.time.isDead(proxy.name)) void this.#callOn(proxy, BigInt(this.random.whole(1, CAP / 8)))
  }

  #callOn(proxy: SimulatedProxy, bound: bigint): void {
    this.#serial += 1
    const milliseconds = proxy.nowMs.toString(16).padStart(12, "0")
    const id = `${milliseconds.slice(0, 8)}-${milliseconds.slice(8)}-7000-8000-${String(this.#serial).padStart(12, "0")}`
    this.time.after(
      0,
      () => {
        const limits = this.#limits
        proxy
          .begin(id, limits, bound)
          .then((begun) => {
            if (begun === null) return
            const { hold, isLocal } = begun
            this.tell(`${proxy.name} has admitted ${id.slice(-3)} to ${bound}${isLocal ? ", by itself" : ""}`)
            const charged = new Set(hold.charges.map(({ limit, window }) => `${limit.id}|${limit.subject}|${window}`))
            this.#calls.set(id, { id, proxy: proxy.name, bound, used: null, isCut: false, charged })
            this.#admitted += 1
            if (isLocal) this.#local += 1
            this.#checkExposure(isLocal)
            const longMs = this.random.chance(10) ? 9_000 : 1_500
            const lastsMs = this.random.whole(1, this.#isAtRest ? 100 : longMs)
            this.time.after(lastsMs, () => this.#end(proxy, hold), proxy.name)
            if (this.#sliceTokens === null) return
            const slices = this.random.whole(0, 3)
            for (let slice = 0; slice < slices; slice += 1)
              this.time.after(this.random.whole(0, lastsMs), () => this.#flow(proxy, hold), proxy.name)
          })
          .catch((error: unknown) => this.fail(error))
      },
      proxy.name,
    )
  }

  /** A stream asks for a slice; only when it has it may it use more. */
  #flow(proxy: SimulatedProxy, hold: Parameters<SimulatedProxy["end"]>[0]): void {
    const more = BigInt(this.random.whole(1, SLICE))
    if (this.#calls.get(hold.id)?.used !== null) return
    proxy
      .extend(hold, more)
      .then((isHeld) => {
        const call = this.#calls.get(hold.id)
        if (!isHeld || call === undefined || call.used !== null) return
        call.bound += more
        this.#extended += 1
        this.tell(`${proxy.name} has given ${hold.id.slice(-3)} ${more} more`)
        this.#checkExposure(false)
      })
      .catch((error: unknown) => this.fail(error))
  }

  #end(proxy: SimulatedProxy, hold: Parameters<SimulatedProxy["end"]>[0]): void {
    const call = this.#calls.get(hold.id)
    if (call === undefined) throw new Error(`${hold.id} is not known`)
    if (this.random.chance(12)) {
      this.#calls.delete(hold.id)
      proxy.release(hold)
      return
    }
    call.used = BigInt(this.random.whole(0, Number(call.bound)))
    proxy.end(hold, call.used)
  }

  #changeCap(): void {
    const cap = BigInt(Math.floor((CAP * this.random.whole(50, 200)) / 100))
    if (cap > this.#capMax) this.#capMax = cap
    this.#limits = this.#limitsWith(cap)
    this.tell(`cap ${cap}`)
  }

  #fault(fault: Fault): void {
    if (this.#proxies.length === 0) return
    const { time, random, redis } = this
    const { server } = redis
    this.#faults.push(fault)
    this.tell(fault)
    const ms = random.whole(50, 2_500)
    const proxy = random.of(this.#proxies)
    switch (fault) {
      case "flush":
        server.flush()
        break
      case "restart":
        this.#restart(server.data, random.whole(0, 1_500))
        break
      case "lose":
        this.#restart(random.of(this.#copies).data.copy(), random.whole(0, 1_500))
        break
      case "hang":
        redis.hungUntilMs = time.nowMs + ms
        break
      case "slow":
        redis.slowUntilMs = time.nowMs + ms
        redis.slowMs = random.whole(20, 300)
        break
      case "read-only":
        server.isReadOnly = true
        // It becomes the master again, as another history.
        time.after(ms, () => server.isReadOnly && server.start(server.data), "")
        break
      case "clock":
        this.#serverSkewMs += random.whole(-4_000, random.chance(30) ? 12_000 : 4_000)
        break
      case "break":
        proxy.connection.break(ms)
        break
      case "freeze":
        this.#freeze(proxy, random.whole(50, 2_000))
        break
      case "crash":
        this.#crash(proxy)
        break
      case "ledger":
        this.ledger.isAway = true
        time.after(
          random.whole(50, 1_500),
          () => {
            this.ledger.isAway = false
          },
          "",
        )
    }
  }

  /** Not for longer than a proxy may go unseen: what one that is given up holds is not waited for, as is said of it. */
  #freeze(proxy: SimulatedProxy, ms: number): void {
    const { nowMs } = this.time
    if (nowMs - (this.#frozenAtMs.get(proxy.name) ?? Number.NEGATIVE_INFINITY) < ACTIVE_MS) return
    this.#frozenAtMs.set(proxy.name, nowMs)
    this.time.freeze(proxy.name, ms)
  }

  #restart(data: RedisData, downMs: number): void {
    this.redis.isDown = true
    for (const { connection } of this.#proxies) connection.break(downMs)
    this.time.after(
      downMs,
      () => {
        this.redis.isDown = false
        this.redis.server.start(data)
      },
      "",
    )
  }

  #crash(proxy: SimulatedProxy): void {
    const { time, random } = this
    if (time.isDead(proxy.name) || proxy.isAdopting) return
    const writtenAtMs = proxy.nowMs
    time.kill(proxy.name)
    proxy.connection.break(Number.POSITIVE_INFINITY)
    this.#proxies = this.#proxies.filter((other) => other !== proxy)
    // A row that was on the way to the disk is lost with its process: the call counts as cut off.
    const { journal } = proxy
    const next = async () => {
      await this.#startProxy()
      const adopter = this.#proxies.at(-1)
      if (adopter === undefined) throw new Error("no proxy was started")
      adopter.isAdopting = true
      time.after(random.whole(0, 400), () => adopter.adopt(journal, writtenAtMs), adopter.name)
    }
    time.after(random.whole(100, 1_500), () => void next().catch((error: unknown) => this.fail(error)), "")
  }

  /** The calls of this journal are in the ledger: what they used is known now. */
  onAdopted(journal: Journal): void {
    for (const [id, charges] of journal.open) {
      const call = this.#calls.get(id)
      const charge = charges.find(({ limit_id }) => limit_id === "life")
      if (call !== undefined && charge !== undefined) call.used = BigInt(charge.amount)
    }
  }

  #heal(): void {
    this.#isAtRest = true
    this.redis.hungUntilMs = 0
    this.redis.slowUntilMs = 0
    this.tell("all faults are over")
  }

  /** No counter says more than its cap, after any act of anybody. */
  #checkCounters(): void {
    if (this.#policy !== "deny") return
    const { server } = this.redis
    for (const [limit, window] of this.#hardCounters()) {
      const key = `tg:{org_1}:w:${window}`
      const [settled, held] = server.data.run("HMGET", [key, `${limit}|key_1:s`, `${limit}|key_1:h`], server.nowMs) as (
        | string
        | null
      )[]
      const used = BigInt(settled ?? 0) + BigInt(held ?? 0)
      if (used > this.#capMax)
        this.fail(new BrokenPromise(`${limit} ${window}: ${settled} settled, ${held} held, cap ${this.#capMax}`))
    }
  }

  #hardCounters(): [limit: string, window: string][] {
    return [
      ["life", "lifetime"],
      ["day", "2026-11-23"],
      ["day", "2026-11-24"],
    ]
  }

  /** All that was used and all that may be used yet, by the calls themselves: what no counter can hide. */
  #exposure(name: string): bigint {
    let sum = 0n
    for (const { charged, used, bound } of this.#calls.values()) if (charged.has(name)) sum += used ?? bound
    return sum
  }

  #checkExposure(isLocal: boolean): void {
    for (const [limit, window] of this.#hardCounters()) {
      const exposure = this.#exposure(`${limit}|key_1|${window}`)
      // Shares: what was left is spent once more at the most.
      const max = this.#policy === "deny" ? this.#capMax : 2n * this.#capMax
      if (exposure > max) {
        this.fail(
          new BrokenPromise(
            `${limit} ${window}: a call was admitted${isLocal ? " locally" : ""} to ${exposure} of ${max}`,
          ),
        )
      }
    }
  }

  /**
   * What expiry has charged for calls that nobody knows: a process was killed between its question and the answer, so
   * that no journal tells of them. They stay charged until the counters are filled again. By counter.
   */
  #orphans(): Map<string, bigint> {
    const orphans = new Map<string, bigint>()
    const { server } = this.redis
    const epoch = server.data.run("HGET", ["tg:{org_1}:e", "epoch"], server.nowMs)
    for (const [key, value] of Object.entries(server.data.dump(server.nowMs))) {
      if (!key.startsWith(`tg:{org_1}:d:${epoch}:`)) continue
      for (const [id, mark] of (value as { members: [string, string][] }).members) {
        const { owner, charges } = readLease("org_1", mark)
        if (mark === "1" || this.ledger.has(id) || this.#calls.has(id) || !this.time.isDead(owner)) continue
        for (const charge of charges)
          orphans.set(counterName(charge), (orphans.get(counterName(charge)) ?? 0n) + charge.amount)
      }
    }
    return orphans
  }

  #checkRest(): void {
    const { server } = this.redis
    const run = (command: string, ...words: string[]) => server.data.run(command, words, server.nowMs)
    const must = (is: unknown, what: string) => {
      if (is !== true) throw new BrokenPromise(`at rest: ${what}`)
    }
    for (const { id, used } of this.#calls.values())
      must(used !== null && this.ledger.has(id), `call ${id.slice(-3)} has not ended`)
    const leases = run("HGETALL", "tg:{org_1}:l") as string[]
    must(leases.length === 0, `holds are left: ${leases}`)
    must(run("ZCARD", "tg:{org_1}:x") === 0, "lease ends are left")
    must(run("HGET", "tg:{org_1}:e", "state") === "open", "the counters are not open")
    const [sums, orphans] = [this.ledger.sums(), this.#orphans()]
    for (const [name, sum] of sums) {
      const [limit, subject, window] = name.split("|")
      const [settled, held] = run(
        "HMGET",
        `tg:{org_1}:w:${window}`,
        `${limit}|${subject}:s`,
        `${limit}|${subject}:h`,
      ) as (string | null)[]
      must(BigInt(held ?? 0) === 0n, `${name} holds ${held}`)
      const orphaned = orphans.get(name) ?? 0n
      must(
        BigInt(settled ?? 0) === sum + orphaned,
        `${name} has settled ${settled}, and ${sum} were used, ${orphaned} orphaned`,
      )
      if (limit !== "soft")
        must(this.#exposure(name) === sum, `${name}: the calls used ${this.#exposure(name)}, the ledger has ${sum}`)
    }
    must(Number(run("HGET", "tg:{org_1}:w:now", "slots|key_1:h") ?? 0) === 0, "calls in flight are left")
    for (const { guard, name } of this.#proxies) {
      const { isAway, waiting, localCalls, dropped } = guard.stats()
      must(!isAway && waiting === 0 && localCalls === 0 && dropped === 0, `${name}: ${JSON.stringify(guard.stats())}`)
    }
  }
}

/** A lease is longer than any fault that keeps a process from renewing, except a clock's. */
if (LEASE_MS <= 5_000) throw new Error("leases would end by faults that are not meant to end them")

export function simulate(seed: number): Promise<Outcome> {
  return new World(seed).run()
}
