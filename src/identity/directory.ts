/**
 * The read path of identity: from a presented key to its record, cached, because every call asks. A change anywhere
 * raises `directory_version` in its own transaction; each process polls that row every half second and empties its
 * cache when it moved, so an edit is seen everywhere within a second. Unknown keys are cached too (bounded), or a
 * scanner would reach Postgres.
 *
 * An entry is never older than the version it stands under: a look-up that began before the cache was emptied never
 * writes its answer back, and one that began after reads at least the version that emptied it. So a poll that finds the
 * version unmoved confirms every entry at once. While Postgres is away cached keys go on working until they were last
 * confirmed too long ago, and other keys are answered `unavailable` without waiting.
 */
import { LRUCache } from "lru-cache"
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { readDirectoryVersion } from "./directory-version.ts"
import { type FoundUser, findUser } from "./find-user.ts"
import { readVirtualKey, readVirtualKeyById } from "./read-virtual-key.ts"
import { secretDigest, virtualKeyFault } from "./secret.ts"
import { keyFault, type VirtualKey } from "./virtual-key.ts"

const USERS_MAX = 10_000
const UNKNOWN = Symbol("unknown")
const POLL_EVERY_MS = 500
const POLL_MS_MAX = 2_000
const LOOK_UP_MS_MAX = 2_000
/** A look-up that meets a change reads again. */
const READS_MAX = 2
/** Keys that are looked up at the same time; beyond it a key is unavailable for the moment. */
const LOOK_UPS_MAX = 1_000

export type Identified =
  | { readonly kind: "caller"; readonly key: VirtualKey }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "unavailable"; readonly cause: unknown }

type Known = VirtualKey | typeof UNKNOWN
/** What the cache holds: what is known, and since when it is known to be so. Nothing of it says what was spent. */
type Entry = { readonly known: Known; readonly readAtMs: number }

export type DirectoryOptions = {
  /** Opens a pool of the directory's own, of two connections: it drops one that does not answer. */
  readonly openPostgres: () => Sql
  readonly clock: Clock
  readonly log: Log
  readonly keysMax: number
  /** How long an entry is trusted that Postgres does not confirm. */
  readonly unconfirmedMsMax: number
  /** Told the version at every look, and waited for: for what else follows it. Never rejects. */
  readonly onSeen?: (version: string) => Promise<void>
}

export class Directory {
  readonly #postgres: BoundedPostgres
  readonly #clock: Clock
  readonly #log: Log
  readonly #unconfirmedMsMax: number
  readonly #onSeen: DirectoryOptions["onSeen"]
  readonly #cache: LRUCache<string, Entry>
  readonly #users = new LRUCache<string, FoundUser>({ max: USERS_MAX })
  readonly #loading = new Map<string, Promise<Known>>()
  #version = ""
  #generation = 0
  #confirmedAtMs = Number.NEGATIVE_INFINITY
  /** Looks at the version are counted as they begin; the answer of an earlier one must not undo that of a later one. */
  #looksBegun = 0
  #lookAnswered = 0
  #isPolling = false
  #isReachable = true
  #isStopped = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: DirectoryOptions) {
    this.#postgres = new BoundedPostgres(options.openPostgres)
    this.#clock = options.clock
    this.#log = options.log
    this.#unconfirmedMsMax = options.unconfirmedMsMax
    this.#onSeen = options.onSeen
    this.#cache = new LRUCache({ max: options.keysMax })
  }

  /** Starts polling for changes made by other processes. */
  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#isPolling) void this.poll()
    }, POLL_EVERY_MS)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    await this.#postgres.close()
  }

  /** The caller behind a presented key, without waiting where the key is cached; undefined means: ask `identify`. */
  identifyCached(text: string): Identified | undefined {
    const known = this.#cached(secretDigest(text))
    return known === undefined ? undefined : this.#judge(known)
  }

  /** The caller behind a presented key. `unavailable` only where nothing current is cached and Postgres is away. */
  async identify(text: string): Promise<Identified> {
    const fault = virtualKeyFault(text)
    if (fault !== null) return { kind: "refused", message: `This API key is not valid: ${fault}.` }
    const digest = secretDigest(text)
    try {
      return this.#judge(this.#cached(digest) ?? (await this.#lookUp(digest)))
    } catch (cause) {
      return { kind: "unavailable", cause }
    }
  }

  /** A user of the organization by id or e-mail address; null where there is none. Rejects while Postgres is away. */
  async user(organizationId: string, named: string): Promise<FoundUser | null> {
    const cached = this.#users.get(`${organizationId} ${named}`)
    if (cached !== undefined) return cached
    const generation = this.#generation
    const found = await this.#postgres.run((sql) => findUser(sql, organizationId, named), LOOK_UP_MS_MAX)
    if (found !== null && generation === this.#generation) this.#users.set(`${organizationId} ${named}`, found)
    return found
  }

  /** A key by its id, as Postgres has it now, whether or not it still works; null where there is none. */
  keyById(id: string): Promise<VirtualKey | null> {
    return this.#postgres.run((sql) => readVirtualKeyById(sql, id), LOOK_UP_MS_MAX)
  }

  /** Forgets everything cached. */
  clear(): void {
    this.#generation++
    this.#users.clear()
    this.#cache.clear()
    this.#loading.clear()
  }

  /** To be awaited after a change in this process, so that it is effective here when its author reads the answer. */
  async changed(): Promise<void> {
    // The look finds the new version and empties the cache for it, so that the next poll need not do it again.
    if ((await this.#look()) === "away") this.clear()
  }

  /** Looks whether another process changed something. */
  async poll(): Promise<void> {
    this.#isPolling = true
    await this.#look()
    this.#isPolling = false
  }

  async #look(): Promise<"seen" | "away"> {
    const turn = ++this.#looksBegun
    const beganAtMs = this.#clock.nowMs()
    try {
      const version = await this.#postgres.run(readDirectoryVersion, POLL_MS_MAX)
      if (turn > this.#lookAnswered) this.#see(turn, version, beganAtMs)
      if (!this.#isReachable) this.#log.info("directory reachable again")
      this.#isReachable = true
      await this.#onSeen?.(version)
      return "seen"
    } catch (error) {
      // A look that the stop has cut off says nothing about Postgres.
      if (this.#isStopped) return "away"
      const away = { err: error, trusted_ms: this.#unconfirmedMsMax }
      if (this.#isReachable) this.#log.warn(away, "directory unreachable, cached keys go on working for a time")
      this.#isReachable = false
      return "away"
    }
  }

  #see(turn: number, version: string, beganAtMs: number): void {
    this.#lookAnswered = turn
    if (version !== this.#version) {
      this.#version = version
      this.clear()
    }
    this.#confirmedAtMs = beganAtMs
  }

  #cached(digest: string): Known | undefined {
    const entry = this.#cache.get(digest)
    if (entry === undefined) return undefined
    const knownAtMs = Math.max(entry.readAtMs, this.#confirmedAtMs)
    return this.#clock.nowMs() - knownAtMs <= this.#unconfirmedMsMax ? entry.known : undefined
  }

  #judge(known: Known): Identified {
    if (known === UNKNOWN) {
      return {
        kind: "refused",
        message: "This API key is not known here. Check where your program takes it from, or ask an admin.",
      }
    }
    const fault = keyFault(known, this.#clock.nowMs())
    return fault === null ? { kind: "caller", key: known } : { kind: "refused", message: fault }
  }

  async #lookUp(digest: string): Promise<Known> {
    const running = this.#loading.get(digest)
    if (running !== undefined) return running
    // The poll finds out when Postgres is back; until then nobody waits for it, and no scanner makes it worse.
    if (!this.#isReachable) throw new Error("Postgres was away when the directory last looked.")
    if (this.#loading.size >= LOOK_UPS_MAX) throw new Error(`${LOOK_UPS_MAX} keys are being looked up already.`)
    const loading = this.#load(digest).finally(() => {
      if (this.#loading.get(digest) === loading) this.#loading.delete(digest)
    })
    this.#loading.set(digest, loading)
    return loading
  }

  /** What was read while the cache was emptied may be older than the change: it is read again, and at last not kept. */
  async #load(digest: string): Promise<Known> {
    const endsAtMs = performance.now() + LOOK_UP_MS_MAX
    for (let reads = 1; ; reads++) {
      const generation = this.#generation
      const readAtMs = this.#clock.nowMs()
      const msMax = endsAtMs - performance.now()
      const known = (await this.#postgres.run((sql) => readVirtualKey(sql, digest), msMax)) ?? UNKNOWN
      const isCurrent = generation === this.#generation
      if (isCurrent) this.#cache.set(digest, { known, readAtMs })
      if (isCurrent || reads === READS_MAX) return known
    }
  }
}
