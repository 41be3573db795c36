/**
 * The read path of identity: from a presented key to its record, cached, because every call asks. A change anywhere
 * raises `directory_version` in its own transaction; each process polls that row every half second and empties its
 * cache when it moved, so an edit is seen everywhere within a second. A look-up that began before the cache was
 * emptied never writes its answer back. Unknown keys are cached too (bounded), or a scanner would reach Postgres.
 */
import { LRUCache } from "lru-cache"
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { Limit } from "./limit.ts"
import { secretDigest, virtualKeyFault } from "./secret.ts"
import { keyFault, type VirtualKey } from "./virtual-key.ts"

const UNKNOWN = Symbol("unknown")
const POLL_MS = 500

export type Identified =
  | { readonly kind: "caller"; readonly key: VirtualKey }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "unavailable"; readonly cause: unknown }

type KeyRow = {
  id: string
  name: string
  organization_id: string
  project_id: string
  user_id: string | null
  allowed_models: string[] | null
  expires_at: Date | null
  revoked_at: Date | null
}
type LimitRow = {
  id: string
  organization_id: string
  scope: Limit["scope"]
  subject: string
  kind: Limit["kind"]
  window: Limit["window"]
  cap: string
  time_zone: string
  anchor_day: number
  on_store_failure: Limit["onStoreFailure"]
}

export class Directory {
  readonly #sql: Sql
  readonly #clock: Clock
  readonly #log: Log
  readonly #cache: LRUCache<string, VirtualKey | typeof UNKNOWN>
  readonly #loading = new Map<string, Promise<VirtualKey | typeof UNKNOWN>>()
  #version = ""
  #generation = 0
  #isReachable = true
  #timer: NodeJS.Timeout | undefined

  constructor(options: { sql: Sql; clock: Clock; log: Log; keysMax: number }) {
    this.#sql = options.sql
    this.#clock = options.clock
    this.#log = options.log
    this.#cache = new LRUCache({ max: options.keysMax })
  }

  /** Starts polling for changes made by other processes. */
  start(): void {
    this.#timer = setInterval(() => void this.poll(), POLL_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** The caller behind a presented key, without waiting where the key is cached; undefined means: ask `identify`. */
  identifyCached(text: string): Identified | undefined {
    const known = this.#cache.get(secretDigest(text))
    return known === undefined ? undefined : this.#judge(known)
  }

  /** The caller behind a presented key. `unavailable` only where the key is not cached and Postgres is away. */
  async identify(text: string): Promise<Identified> {
    const fault = virtualKeyFault(text)
    if (fault !== null) return { kind: "refused", message: `This API key is not valid: ${fault}.` }
    const digest = secretDigest(text)
    try {
      return this.#judge(this.#cache.get(digest) ?? (await this.#load(digest)))
    } catch (cause) {
      return { kind: "unavailable", cause }
    }
  }

  /** Forgets everything cached; called after a change in this process and when another process's change is seen. */
  clear(): void {
    this.#generation++
    this.#cache.clear()
    this.#loading.clear()
  }

  /** Looks whether another process changed something. */
  async poll(): Promise<void> {
    try {
      const [row] = await this.#sql<{ version: string }[]>`SELECT version::text AS version FROM directory_version`
      if (row !== undefined && row.version !== this.#version) {
        this.#version = row.version
        this.clear()
      }
      if (!this.#isReachable) this.#log.info("directory reachable again")
      this.#isReachable = true
    } catch (error) {
      if (this.#isReachable) this.#log.warn({ err: error }, "directory unreachable, cached keys go on working")
      this.#isReachable = false
    }
  }

  #judge(known: VirtualKey | typeof UNKNOWN): Identified {
    if (known === UNKNOWN) {
      return { kind: "refused", message: "This API key is not known here. Check OPENAI_API_KEY, or ask an admin." }
    }
    const fault = keyFault(known, this.#clock.nowMs())
    return fault === null ? { kind: "caller", key: known } : { kind: "refused", message: fault }
  }

  #load(digest: string): Promise<VirtualKey | typeof UNKNOWN> {
    const running = this.#loading.get(digest)
    if (running !== undefined) return running
    const generation = this.#generation
    const loading = readVirtualKey(this.#sql, digest)
      .then((key) => {
        const known = key ?? UNKNOWN
        if (generation === this.#generation) this.#cache.set(digest, known)
        return known
      })
      .finally(() => {
        if (this.#loading.get(digest) === loading) this.#loading.delete(digest)
      })
    this.#loading.set(digest, loading)
    return loading
  }
}

async function readVirtualKey(sql: Sql, digest: string): Promise<VirtualKey | null> {
  const [row] = await sql<KeyRow[]>`
    SELECT id, name, organization_id, project_id, user_id, allowed_models, expires_at, revoked_at
    FROM virtual_keys WHERE secret_sha256 = decode(${digest}, 'hex')`
  if (row === undefined) return null
  return {
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
    projectId: row.project_id,
    userId: row.user_id ?? "",
    allowedModels: row.allowed_models,
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    limits: await readLimits(sql, row),
  }
}

async function readLimits(sql: Sql, key: KeyRow): Promise<Limit[]> {
  const rows = await sql<LimitRow[]>`
    SELECT id, organization_id, scope, subject, kind, "window", cap::text AS cap, time_zone, anchor_day, on_store_failure
    FROM limits
    WHERE (scope, subject) IN (('organization', ${key.organization_id}), ('project', ${key.project_id}),
                               ('user', ${key.user_id ?? ""}), ('key', ${key.id}))
    ORDER BY array_position(ARRAY['organization', 'project', 'user', 'key'], scope), created_at, id`
  return rows.map((row) => ({
    id: row.id,
    organizationId: row.organization_id,
    scope: row.scope,
    subject: row.subject,
    kind: row.kind,
    window: row.window,
    cap: BigInt(row.cap),
    timeZone: row.time_zone,
    anchorDay: row.anchor_day,
    onStoreFailure: row.on_store_failure,
  }))
}
