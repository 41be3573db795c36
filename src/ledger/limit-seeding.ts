/**
 * New limits as this process knows them: seeds those that nobody has seeded, and from then on has each call that ends
 * charged to them which was admitted before. Looks whenever the directory has another version.
 */

import type { HeldCall } from "../admission/admit.ts"
import { accountHoldId } from "../admission/limits.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { readSeeds, seedNewLimits } from "./limit-seeds.ts"
import { type LimitSeed, type SeedFacts, seedCharges } from "./seed-match.ts"

/** A look at the directory waits so long for what it has begun here. */
const FOLLOW_MS_MAX = 2_000

export type LimitSeedingOptions = {
  readonly sql: Sql
  readonly nowMs: () => number
  readonly log: Pick<Log, "warn" | "info">
}

export class LimitSeeding {
  readonly #options: LimitSeedingOptions
  #seeds: readonly LimitSeed[] = []
  #versions = new Map<string, number>()
  #version = 0
  #wanted = ""
  #seen = ""
  #work: Promise<void> | null = null
  #isFailing = false
  #onChange: (seeds: readonly LimitSeed[]) => void = () => undefined

  constructor(options: LimitSeedingOptions) {
    this.#options = options
  }

  /** New limits of which calls may end that were admitted without them. */
  get current(): readonly LimitSeed[] {
    return this.#seeds
  }

  /** The directory's version with which a limit was seeded, where it is not known from the limit itself; null: not yet. */
  versionOf(limitId: string): number | null {
    return this.#versions.get(limitId) ?? null
  }

  /** From now on told of each change; one listener. */
  onChange(listener: (seeds: readonly LimitSeed[]) => void): void {
    this.#onChange = listener
  }

  /** To be told at every look at the directory. Never rejects; what fails is tried again at the next look. */
  async follow(version: string): Promise<void> {
    this.#wanted = version
    if (version === this.#seen) return
    await inTime(this.#catchUp(), FOLLOW_MS_MAX).catch(() => undefined)
  }

  /** Resolves once all limits are known here that this version of the directory has. @throws what Postgres does */
  async atLeast(version: number): Promise<void> {
    if (this.#version < version) await this.#read()
  }

  /** What a call is charged that ends now: what it holds, and the limits that have come since it was admitted. */
  grown(held: HeldCall, facts: SeedFacts): HeldCall {
    if (this.#seeds.length === 0) return held
    const named = new Set([...held.charges, ...(held.account?.charges ?? [])].map(({ limit }) => limit.id))
    const all = seedCharges(this.#seeds, facts, named)
    if (all.length === 0) return held
    const { account = [], own = [] } = Object.groupBy(all, ({ limit }) => {
      return limit.scope === "provider_account" ? "account" : "own"
    })
    const charges = [...held.charges, ...own]
    if (account.length === 0) return { ...held, charges }
    const before = held.account ?? { id: accountHoldId(held.id), keyId: held.keyId, charges: [] }
    return { ...held, charges, account: { ...before, charges: [...before.charges, ...account] } }
  }

  #catchUp(): Promise<void> {
    this.#work ??= this.#seedAndRead().finally(() => {
      this.#work = null
    })
    return this.#work
  }

  async #seedAndRead(): Promise<void> {
    const { sql, nowMs, log } = this.#options
    const wanted = this.#wanted
    try {
      const seeded = await seedNewLimits(sql, nowMs())
      if (seeded > 0) log.info({ limits: seeded }, "new limits start from what the ledger has of their windows")
      await this.#read()
      this.#seen = wanted
      this.#isFailing = false
    } catch (err) {
      if (!this.#isFailing) log.warn({ err }, "new limits cannot be seeded from the ledger yet")
      this.#isFailing = true
    }
  }

  async #read(): Promise<void> {
    const { version, seeds } = await readSeeds(this.#options.sql)
    if (version < this.#version) return
    this.#version = version
    this.#seeds = seeds
    this.#versions = new Map(seeds.map(({ limit }) => [limit.id, limit.seededVersion ?? 0]))
    this.#onChange(seeds)
  }
}
