/**
 * The limit store of several processes: the port over Redis 7 or Valkey, single or Cluster, one hash tag for each
 * organization. Acts are scripts (`scripts/*.lua`), so they are atomic among all proxies; the counters are a cache of
 * the ledger, and an organization whose counters were lost answers `recovering` until `recovery.ts` has filled them.
 * When Redis fails, every method rejects; what then happens to a call is for the caller to decide.
 */
import type { RedisClient } from "../platform/redis.ts"
import { type RedisScript, RedisScripts } from "../platform/redis-script.ts"
import {
  type Charge,
  type CounterState,
  type Hold,
  type LimitStore,
  ownerText,
  type ReserveReply,
  type SettleReply,
} from "./limit-store.ts"
import type { ChargedCall } from "./limits.ts"
import { type Act, RedisBatch, readOtherEpoch } from "./redis-batch.ts"
import { ChargeLines, durableLines, readLease, windowsOf } from "./redis-charges.ts"
import { OrganizationKeys } from "./redis-keys.ts"
import {
  countersReply,
  isDenialToReview,
  requireAsserted,
  reserveReply,
  settleReply,
  texts,
  withoutFault,
} from "./redis-replies.ts"
import { type LimitScripts, limitScripts } from "./redis-scripts.ts"

/** Leases looked at in one script. */
const DUE_PER_CALL = 64
/** Rounds of one sweep of one organization; the next sweep goes on from there. */
const SWEEP_ROUNDS_MAX = 64
const RENEWALS_PER_CALL = 1_000
/** How often an act may learn of keys it must declare: an extension may add one while a release looks. */
const DECLARE_ROUNDS_MAX = 4

export type RedisLimitStoreOptions = {
  readonly client: RedisClient
  /** Told that an organization's counters are missing, or rebuilt without what this process knows. Often; must be cheap. */
  readonly onRecovering: (organizationId: string) => void
  /**
   * Told in the tick in which another epoch is taken up: what was to be said of calls that ended before then is in the
   * counters already, by the ledger or by this process's journal.
   */
  readonly onNewEpoch?: (organizationId: string) => void
  /** Told that an organization's counters are of a directory before this version, with which one of its limits was seeded. Often. */
  readonly onBehind?: (organizationId: string, version: number) => void
  /** The version with which a limit was seeded, where the limit does not say it yet; null: it was not. */
  readonly seededVersion?: (limitId: string) => number | null
  /** For tests that move the clock. */
  readonly scripts?: LimitScripts
}

export class RedisLimitStore implements LimitStore {
  readonly #client: RedisClient
  readonly #scripts: RedisScripts
  readonly #texts: LimitScripts
  readonly #onRecovering: (organizationId: string) => void
  readonly #onNewEpoch: (organizationId: string) => void
  readonly #onBehind: (organizationId: string, version: number) => void
  readonly #seededVersion: (limitId: string) => number | null
  readonly #lines = new ChargeLines()
  readonly #batches = new Map<string, RedisBatch>()
  /** Organizations that may have live holds. */
  readonly #toSweep = new Set<string>()

  constructor(options: RedisLimitStoreOptions) {
    this.#client = options.client
    this.#scripts = new RedisScripts(options.client)
    this.#texts = options.scripts ?? limitScripts()
    this.#onRecovering = options.onRecovering
    this.#onNewEpoch = options.onNewEpoch ?? (() => undefined)
    this.#onBehind = options.onBehind ?? (() => undefined)
    this.#seededVersion = options.seededVersion ?? (() => null)
  }

  /** `recovering` also where a limit is newer than the counters: what it starts from is not in them. */
  reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply> {
    const newest = this.#newestSeed(charges)
    if (newest === 0) return this.#ask("R", id, leaseMs, owner, charges, this.#readTaken)
    return this.#reserveSeeded(id, owner, leaseMs, charges, newest)
  }

  async #reserveSeeded(
    id: string,
    owner: string,
    leaseMs: number,
    charges: readonly Charge[],
    newest: number,
  ): Promise<ReserveReply> {
    const batch = this.#batchOf(charges)
    // Which limits its counters have is known from the first contact on.
    if (batch.epoch === "") await this.#underEpoch(batch, this.#texts.due, ["1"])
    if (batch.epoch !== "" && newest > batch.version && newest !== Number.POSITIVE_INFINITY) {
      this.#onBehind(batch.organizationId, newest)
    }
    if (newest > batch.version) return { kind: "recovering" }
    return this.#ask("R", id, leaseMs, owner, charges, this.#readTaken)
  }

  /** The latest version with which one of the limits was seeded; infinite where one was not yet, 0 where none has to be in them. */
  #newestSeed(charges: readonly Charge[]): number {
    let newest = 0
    for (const { limit } of charges) {
      const { seededVersion = 0 } = limit
      if (seededVersion !== null && seededVersion <= 0) continue
      const version = seededVersion ?? this.#seededVersion(limit.id) ?? Number.POSITIVE_INFINITY
      if (version > newest) newest = version
    }
    return newest
  }

  extend(id: string, charges: readonly Charge[]): Promise<ReserveReply> {
    return this.#ask("M", id, "", "", charges, this.#readTaken)
  }

  settle(id: string, actual: readonly Charge[]): Promise<SettleReply> {
    return this.#ask("S", id, "", "", actual, settleReply)
  }

  async release(organizationId: string, id: string): Promise<boolean> {
    return (await this.#declaring(this.#batch(organizationId), "F", id, [])) === "t"
  }

  async renew(organizationId: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]> {
    const batch = this.#batch(organizationId)
    const lost: string[] = []
    for (let from = 0; from < ids.length; from += RENEWALS_PER_CALL) {
      const some = ids.slice(from, from + RENEWALS_PER_CALL)
      const missing = await this.#underEpoch(batch, this.#texts.renew, [String(leaseMs), ...some])
      // Where there is no answer nothing is lost yet: this process will assert its holds when the counters are filled.
      if (missing !== undefined) lost.push(...missing)
    }
    return lost
  }

  async sweep(): Promise<number> {
    let expired = 0
    for (const organizationId of this.#toSweep) expired += await this.#sweepOrganization(this.#batch(organizationId))
    return expired
  }

  async read(charges: readonly Charge[]): Promise<readonly CounterState[]> {
    if (charges.length === 0) return []
    return this.#ask("V", "view", "", "", charges, (reply) => countersReply(reply, charges))
  }

  async holds(max: number, organizationId?: string): Promise<readonly Hold[]> {
    const found: (Hold & { sinceUs: number })[] = []
    for (const place of organizationId === undefined ? this.#batches.keys() : [organizationId]) {
      const keys = new OrganizationKeys(place)
      const leases = await this.#leasesOf(keys)
      if (leases.size === 0) continue
      const ids = [...leases.keys()]
      const ends = await this.#client.zmscore(keys.leaseEnds, ...ids)
      ids.forEach((id, index) => {
        const end = ends[index]
        if (end === null || end === undefined) return
        const { sinceUs, owner, charges } = readLease(place, leases.get(id) ?? "")
        const sinceMs = Math.floor(sinceUs / 1_000)
        found.push({ id, owner, sinceMs, leaseUntilMs: Number(end), charges, sinceUs })
      })
    }
    found.sort((left, right) => left.sinceUs - right.sinceUs)
    return found.slice(0, max).map(({ sinceUs: _, ...hold }) => hold)
  }

  /** The epoch under which this process counts; a settle that failed is sent again only while this stays the same. */
  epochOf(organizationId: string): string {
    return this.#batches.get(organizationId)?.epoch ?? ""
  }

  /** From now on acts go out under this epoch; only for a process that then asserts what it knows. */
  adopt(organizationId: string, epoch: string, version = 0): void {
    const batch = this.#batch(organizationId)
    const isNew = batch.epoch !== epoch
    batch.adopt(epoch, version)
    if (isNew) this.#onNewEpoch(organizationId)
  }

  /** Puts back live holds that the counters lack, without looking at caps: those calls are running. */
  async assertHolds(
    organizationId: string,
    owner: string,
    leaseMs: number,
    holds: readonly { readonly id: string; readonly keyId?: string; readonly charges: readonly Charge[] }[],
  ): Promise<void> {
    const batch = this.#batch(organizationId)
    const acts = holds.map(({ id, keyId, charges }) => {
      return this.#ask("A", id, leaseMs, ownerText(owner, keyId ?? ""), charges, (reply) => reply)
    })
    // Before anything else that this process says of these holds, renewals above all.
    batch.flush()
    for (const reply of await Promise.all(acts)) requireAsserted(reply)
    this.#toSweep.add(organizationId)
  }

  /** Charges calls that ended after the ledger's snapshot, each once by its id. */
  async assertSettled(
    organizationId: string,
    rows: readonly Pick<ChargedCall, "id" | "charges">[],
    nowMs: number,
  ): Promise<void> {
    const batch = this.#batch(organizationId)
    const acts = rows.map(({ id, charges }) => this.#declaring(batch, "C", id, charges, durableLines(charges, nowMs)))
    for (const reply of await Promise.all(acts)) requireAsserted(reply)
  }

  /** Sends an act and makes an answer of its reply; what cannot be sent is a rejection, like what cannot be done. */
  #ask<T>(
    op: Act["op"],
    id: string,
    leaseMs: number | "",
    owner: string,
    charges: readonly Charge[],
    read: (reply: string, charges: readonly Charge[], batch: RedisBatch, act: Act) => T | Promise<T>,
  ): Promise<T> {
    try {
      const batch = this.#batchOf(charges)
      const act: Act = {
        op,
        id,
        leaseMs,
        owner,
        lines: this.#lines.write(charges, op === "S"),
        windows: windowsOf(charges),
      }
      return batch.ask(act, (reply) => read(reply, charges, batch, act))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  readonly #readTaken = (reply: string, charges: readonly Charge[], batch: RedisBatch, act: Act) => {
    // After the answer: a sweep that was answered before it has seen no hold and crosses the organization off.
    this.#toSweep.add(batch.organizationId)
    return isDenialToReview(reply) ? this.#askAfterSweep(batch, act, charges) : reserveReply(reply, charges)
  }

  /** A deny must not rest on leases that have ended: looks again without them. */
  async #askAfterSweep(batch: RedisBatch, act: Act, charges: readonly Charge[]): Promise<ReserveReply> {
    await this.#sweepOrganization(batch)
    return reserveReply(await batch.send(act), charges)
  }

  async #sweepOrganization(batch: RedisBatch): Promise<number> {
    let expired = 0
    for (let round = 0; round < SWEEP_ROUNDS_MAX; round += 1) {
      const reply = await this.#underEpoch(batch, this.#texts.due, [String(DUE_PER_CALL)])
      if (reply === undefined) return expired
      const [live, ...pairs] = reply
      if (live === "0") this.#toSweep.delete(batch.organizationId)
      const acts: Promise<string>[] = []
      for (let at = 0; at + 1 < pairs.length; at += 2) {
        const { charges } = readLease(batch.organizationId, pairs[at + 1] ?? "")
        acts.push(this.#declaring(batch, "X", pairs[at] ?? "", charges))
      }
      expired += (await Promise.all(acts)).filter((reply) => reply === "t").length
      if (acts.length < DUE_PER_CALL) break
    }
    return expired
  }

  /** An act that ends a hold whose windows only Redis knows: sent again with their keys when it asks for them. */
  async #declaring(
    batch: RedisBatch,
    op: "F" | "X" | "C",
    id: string,
    known: readonly { readonly window: string }[],
    lines = "",
  ): Promise<string> {
    let windows = known
    for (let round = 0; round < DECLARE_ROUNDS_MAX; round += 1) {
      const reply = await batch.send({ op, id, leaseMs: "", owner: "", lines, windows })
      if (!reply.startsWith("N")) return withoutFault(reply)
      windows = [...known, ...readLease(batch.organizationId, reply.slice(1)).charges]
    }
    throw new Error(`hold ${id} changed each time it was looked at`)
  }

  async #leasesOf(keys: OrganizationKeys): Promise<Map<string, string>> {
    const leases = new Map<string, string>()
    let cursor = "0"
    do {
      const [next, pairs] = await this.#client.hscan(keys.holds, cursor, "COUNT", 500)
      for (let at = 0; at + 1 < pairs.length; at += 2) leases.set(pairs[at] ?? "", pairs[at + 1] ?? "")
      cursor = next
    } while (cursor !== "0")
    return leases
  }

  /** Runs a script on the organization's holds; undefined, and told, where our epoch is not the organization's. */
  async #underEpoch(batch: RedisBatch, script: RedisScript, args: readonly string[]): Promise<string[] | undefined> {
    const keys = [batch.keys.state, batch.keys.holds, batch.keys.leaseEnds]
    for (;;) {
      const [head, ...reply] = texts(await this.#scripts.run(script, keys.length, [...keys, batch.epoch, ...args]))
      const other = readOtherEpoch(head)
      if (other === undefined) return reply
      const isFirstContact = batch.epoch === "" && other.state === "open"
      if (!isFirstContact) {
        this.#onRecovering(batch.organizationId)
        return undefined
      }
      batch.adopt(other.epoch, other.version)
    }
  }

  #batchOf(charges: readonly Charge[]): RedisBatch {
    const organizationId = charges[0]?.limit.organizationId
    if (organizationId === undefined) throw new RangeError("an act needs at least one charge")
    return this.#batch(organizationId)
  }

  #batch(organizationId: string): RedisBatch {
    let batch = this.#batches.get(organizationId)
    if (batch === undefined) {
      batch = new RedisBatch({
        organizationId,
        scripts: this.#scripts,
        script: this.#texts.batch,
        onOtherEpoch: () => this.#onRecovering(organizationId),
      })
      this.#batches.set(organizationId, batch)
      // Holds of a process that is gone may be all there is.
      this.#toSweep.add(organizationId)
    }
    return batch
  }
}
