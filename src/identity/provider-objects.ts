/**
 * The register of provider objects: entered when a call makes one, asked by every call that names one. An object is
 * known to this process at once and to the others when it is committed; what is entered at the same moment goes in one
 * statement. While Postgres is away new objects wait in memory, up to a bound, and are entered when it is back.
 *
 * Whose an object is never changes, so that is cached; a miss is not, since another process may enter it at any moment.
 * A cached object is asked for again once it is `trustedMs` old, because it may have been deleted elsewhere and its name
 * given to another; while Postgres is away it goes on being trusted. Whether usage was booked is always asked of Postgres.
 */
import { LRUCache } from "lru-cache"
import { asError } from "../platform/as-error.ts"
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import { isDataError, type Sql } from "../platform/postgres.ts"
import { mayReach, type ProviderObject, type ProviderObjectKind, type Sharing } from "./provider-object.ts"
import type { VirtualKey } from "./virtual-key.ts"

const READ_MS_MAX = 2_000
const WRITE_MS_MAX = 5_000
const RETRY_EVERY_MS = 1_000
const TRUSTED_MS = 30_000
/** Objects that wait to be entered; beyond it the newest is not kept. */
const WAITING_MAX = 10_000
const ROWS_PER_STATEMENT_MAX = 1_000
/** No provider's ids are as long as this; what is longer names nothing. */
const ID_LENGTH_MAX = 1_000

/** An object that was not entered: it is this process's knowledge only, and lost with it. */
export class NotEntered extends Error {}

export type ProviderObjectsOptions = {
  /** Opens a pool of the register's own, of two connections: it drops one that does not answer. */
  readonly openPostgres: () => Sql
  readonly log: Log
  readonly objectsMax: number
  /** How long a cached object is believed before Postgres is asked again. */
  readonly trustedMs?: number
}

type Entry = { readonly object: ProviderObject; readonly knownAtMs: number }
type Waiting = { readonly object: ProviderObject } & PromiseWithResolvers<void>

export class ProviderObjects {
  readonly #postgres: BoundedPostgres
  readonly #log: Log
  readonly #trustedMs: number
  readonly #cache: LRUCache<string, Entry>
  /** Not committed yet, in the order in which they came. */
  readonly #waiting = new Map<string, Waiting>()
  #dropped = 0
  #isWriting = false
  #isScheduled = false
  #isReachable = true
  #isStopped = false
  /** Until then nobody waits for a Postgres that did not answer. */
  #awayUntilMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(options: ProviderObjectsOptions) {
    this.#postgres = new BoundedPostgres(options.openPostgres)
    this.#log = options.log
    this.#trustedMs = options.trustedMs ?? TRUSTED_MS
    this.#cache = new LRUCache({ max: options.objectsMax })
  }

  /** Starts to retry what could not be entered. */
  start(): void {
    this.#timer = setInterval(() => void this.#write(), RETRY_EVERY_MS)
    this.#timer.unref()
  }

  /** Ends at once; call `flush` before. What still waits is lost, and its `register` rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    if (this.#waiting.size > 0) this.#log.error({ objects: this.#waiting.size }, "provider objects were not entered")
    for (const waiting of [...this.#waiting.values()]) this.#giveUp(waiting, "the proxy stops")
    await this.#postgres.close()
  }

  /** Objects that wait to be entered. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Objects that were not kept: too many waited, or Postgres refused their data. */
  get dropped(): number {
    return this.#dropped
  }

  /**
   * Enters an object; where its id is entered already, that one stands. Resolves when committed. A rejection
   * (NotEntered) may go unheard.
   */
  register(object: ProviderObject): Promise<void> {
    const name = nameOf(object.provider, object.id)
    const before = this.#waiting.get(name)
    if (before !== undefined) return before.promise
    if (!this.#cache.has(name)) this.#keep(object)
    const waiting: Waiting = { object, ...Promise.withResolvers<void>() }
    // Most callers go on without waiting for it.
    waiting.promise.catch(() => undefined)
    if (this.#isStopped) this.#giveUp(waiting, "the proxy stops")
    else if (this.#waiting.size >= WAITING_MAX) this.#giveUp(waiting, `${WAITING_MAX} are waiting already`)
    else {
      this.#waiting.set(name, waiting)
      this.#schedule()
    }
    return waiting.promise
  }

  /** Waits until everything is entered, at most so long. Returns how many objects still wait. */
  async flush(msMax: number): Promise<number> {
    const all = Promise.allSettled([...this.#waiting.values()].map(({ promise }) => promise))
    void this.#write()
    await inTime(all, msMax).catch(() => undefined)
    return this.#waiting.size
  }

  /** The objects of these ids that are known, by id. Rejects where Postgres had to be asked and is away. */
  async find(provider: string, ids: readonly string[]): Promise<Map<string, ProviderObject>> {
    const found = new Map<string, ProviderObject>()
    const asked: string[] = []
    const aged = new Map<string, ProviderObject>()
    for (const id of new Set(ids)) {
      if (!canBeId(id)) continue
      const name = nameOf(provider, id)
      const entry = this.#cache.get(name)
      const waiting = this.#waiting.get(name)
      const object = entry?.object ?? waiting?.object
      // One that waits is not in Postgres, however old it is.
      const isCurrent = waiting !== undefined || (entry !== undefined && this.#isTrusted(entry))
      if (object !== undefined && isCurrent) found.set(id, object)
      else asked.push(id)
      if (object !== undefined && !isCurrent) aged.set(id, object)
    }
    if (asked.length === 0) return found
    try {
      const read = await this.#ask((sql) => readObjects(sql, provider, asked))
      for (const object of read) {
        found.set(object.id, object)
        this.#keep(object)
      }
      const gone = [...aged.keys()].filter((id) => !found.has(id))
      for (const id of gone) this.#cache.delete(nameOf(provider, id))
    } catch (error) {
      if (aged.size < asked.length) throw error
      for (const [id, object] of aged) found.set(id, object)
    }
    return found
  }

  /** Those of the ids that a call by this key may name. Rejects as `find` does. */
  async owned(key: VirtualKey, sharing: Sharing, provider: string, ids: readonly string[]): Promise<Set<string>> {
    const found = await this.find(provider, ids)
    return new Set([...found.values()].filter((object) => mayReach(object, key, sharing)).map(({ id }) => id))
  }

  /** Enters an object that was made elsewhere, unless it is known; returns the one that stands. Rejects where Postgres is away. */
  async adopt(object: ProviderObject): Promise<ProviderObject> {
    const known = (await this.find(object.provider, [object.id])).get(object.id)
    if (known !== undefined) return known
    // Not `register` alone: of two keys that adopt it in two processes, only Postgres knows which came first.
    await inTime(this.register(object), WRITE_MS_MAX)
    return (await this.find(object.provider, [object.id])).get(object.id) ?? object
  }

  /** To be called when the object was deleted at the provider. Other processes see it when their entry has aged. */
  async forget(provider: string, id: string): Promise<void> {
    await this.#entered(provider, id)
    this.#cache.delete(nameOf(provider, id))
    await this.#ask(
      (sql) => sql`
        UPDATE provider_objects SET deleted_at = now()
        WHERE provider = ${provider} AND id = ${id} AND deleted_at IS NULL`,
    )
  }

  /**
   * True for the one who is to book what the object used: once, whoever asks, wherever. A deleted object's usage is
   * booked too. Rejects where Postgres is away; where only its answer was lost, nobody is told true any more.
   */
  async takeBooking(provider: string, id: string): Promise<boolean> {
    await this.#entered(provider, id)
    const rows = await this.#ask(
      (sql) => sql`
        UPDATE provider_objects SET booked_at = now()
        WHERE provider = ${provider} AND id = ${id} AND booked_at IS NULL RETURNING 1`,
    )
    return rows.length === 1
  }

  /** True where somebody has taken the booking. */
  async isBooked(provider: string, id: string): Promise<boolean> {
    const rows = await this.#ask(
      (sql) => sql`
        SELECT 1 FROM provider_objects WHERE provider = ${provider} AND id = ${id} AND booked_at IS NOT NULL`,
    )
    return rows.length === 1
  }

  #isTrusted(entry: Entry): boolean {
    return performance.now() - entry.knownAtMs < this.#trustedMs
  }

  #keep(object: ProviderObject): void {
    this.#cache.set(nameOf(object.provider, object.id), { object, knownAtMs: performance.now() })
  }

  /** An update of an object that still waits would find no row. */
  async #entered(provider: string, id: string): Promise<void> {
    const waiting = this.#waiting.get(nameOf(provider, id))
    if (waiting !== undefined) await inTime(waiting.promise, READ_MS_MAX)
  }

  async #ask<T>(act: (sql: Sql) => Promise<T>): Promise<T> {
    if (performance.now() < this.#awayUntilMs) throw new Error("Postgres was away a moment ago.")
    try {
      return await this.#postgres.run(act, READ_MS_MAX)
    } catch (error) {
      if (!isDataError(error)) this.#awayUntilMs = performance.now() + RETRY_EVERY_MS
      throw error
    }
  }

  /** What is registered until then goes along in the same statement. */
  #schedule(): void {
    // The timer finds out when Postgres is back.
    if (this.#isScheduled || !this.#isReachable) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      void this.#write()
    })
  }

  async #write(): Promise<void> {
    if (this.#isWriting || this.#isStopped) return
    this.#isWriting = true
    try {
      while (this.#waiting.size > 0) await this.#enter([...this.#waiting.values()].slice(0, ROWS_PER_STATEMENT_MAX))
      if (!this.#isReachable) this.#log.info("provider objects are entered again")
      this.#isReachable = true
    } catch (error) {
      // A write that the stop has cut off says nothing about Postgres.
      if (this.#isReachable && !this.#isStopped) {
        this.#log.warn({ err: error }, "provider objects cannot be entered, they wait in memory")
      }
      this.#isReachable = false
    } finally {
      this.#isWriting = false
    }
  }

  /** Commits these. Throws where Postgres is away. */
  async #enter(batch: readonly Waiting[]): Promise<void> {
    try {
      const objects = batch.map(({ object }) => object)
      const standing = await this.#postgres.run((sql) => insertObjects(sql, objects), WRITE_MS_MAX)
      this.#awayUntilMs = Number.NEGATIVE_INFINITY
      for (const waiting of batch) this.#settle(waiting, standing)
    } catch (error) {
      if (!isDataError(error)) throw error
      const [first] = batch
      if (batch.length === 1 && first !== undefined) return this.#giveUp(first, "Postgres refused it", asError(error))
      // One that is refused must not hold up the others.
      const half = Math.ceil(batch.length / 2)
      await this.#enter(batch.slice(0, half))
      await this.#enter(batch.slice(half))
    }
  }

  #settle(waiting: Waiting, standing: ReadonlyMap<string, ProviderObject>): void {
    const { object } = waiting
    const name = nameOf(object.provider, object.id)
    const stands = standing.get(name)
    // Deleted by another process in this very moment: nothing stands.
    if (stands === undefined) this.#cache.delete(name)
    else this.#keep(stands)
    if (stands !== undefined && stands.keyId !== object.keyId) {
      const { provider, id, kind } = object
      this.#log.warn({ provider, id, kind, key: object.keyId, owner: stands.keyId }, "provider object has an owner")
    }
    this.#waiting.delete(name)
    waiting.resolve()
  }

  #giveUp(waiting: Waiting, why: string, cause?: Error): void {
    const { provider, id, kind } = waiting.object
    this.#dropped++
    this.#waiting.delete(nameOf(provider, id))
    // While Postgres is away each call may come here: one line tells.
    if (this.#dropped === 1 || cause !== undefined) {
      this.#log.error({ err: cause, provider, id, kind, why }, "provider object not entered")
    }
    waiting.reject(new NotEntered(`The ${kind} ${id} was not entered: ${why}.`, { cause }))
  }
}

/** What stands for an object in maps. A provider's name has no line end. */
function nameOf(provider: string, id: string): string {
  return `${provider}\n${id}`
}

/** Postgres takes no NUL in a text; a caller that sends one must not make it look as if Postgres were away. */
function canBeId(id: string): boolean {
  return id !== "" && id.length <= ID_LENGTH_MAX && !id.includes("\0")
}

type ObjectRow = {
  readonly provider: string
  readonly account: string
  readonly id: string
  readonly kind: string
  readonly organization_id: string
  readonly project_id: string
  readonly key_id: string
  readonly call_id: string | null
  readonly booking: unknown
  readonly booked_at: Date | null
}

async function readObjects(sql: Sql, provider: string, ids: readonly string[]): Promise<ProviderObject[]> {
  const rows = await sql<ObjectRow[]>`
    SELECT provider, account, id, kind, organization_id, project_id, key_id, call_id, booking, booked_at
    FROM provider_objects
    WHERE provider = ${provider} AND id = ANY(${[...ids]}::text[]) AND deleted_at IS NULL`
  return rows.map(objectFrom)
}

function objectFrom(row: ObjectRow): ProviderObject {
  return {
    provider: row.provider,
    account: row.account,
    id: row.id,
    kind: row.kind as ProviderObjectKind,
    organizationId: row.organization_id,
    projectId: row.project_id,
    keyId: row.key_id,
    callId: row.call_id,
    booking: row.booking,
    bookedAtMs: row.booked_at?.getTime() ?? null,
  }
}

/**
 * Enters the objects whose ids are new, or are those of deleted ones: a provider may let callers name objects, and such
 * a name comes back. Returns what stands then, by name. The order keeps two writers from waiting for one another.
 */
async function insertObjects(sql: Sql, objects: readonly ProviderObject[]): Promise<Map<string, ProviderObject>> {
  const column = <T>(read: (object: ProviderObject) => T) => objects.map(read)
  const inserted = await sql<{ provider: string; id: string }[]>`
    INSERT INTO provider_objects AS o (provider, account, id, kind, organization_id, project_id, key_id, call_id, booking)
    SELECT provider, account, id, kind, organization_id, project_id, key_id, call_id::uuid, booking::jsonb
    FROM unnest(
      ${column(({ provider }) => provider)}::text[], ${column(({ account }) => account)}::text[],
      ${column(({ id }) => id)}::text[],
      ${column(({ kind }) => kind)}::text[], ${column(({ organizationId }) => organizationId)}::text[],
      ${column(({ projectId }) => projectId)}::text[], ${column(({ keyId }) => keyId)}::text[],
      ${column(({ callId }) => callId)}::text[], ${column(({ booking }) => jsonOf(booking))}::text[]
    ) AS given (provider, account, id, kind, organization_id, project_id, key_id, call_id, booking)
    ORDER BY provider, id
    ON CONFLICT (provider, id) DO UPDATE SET
      account = excluded.account, kind = excluded.kind, organization_id = excluded.organization_id, project_id = excluded.project_id,
      key_id = excluded.key_id, call_id = excluded.call_id, booking = excluded.booking,
      created_at = now(), booked_at = NULL, deleted_at = NULL
    WHERE o.deleted_at IS NOT NULL
    RETURNING provider, id`
  const names = new Set(inserted.map(({ provider, id }) => nameOf(provider, id)))
  const isNew = ({ provider, id }: ProviderObject) => names.has(nameOf(provider, id))
  const stand = objects.filter(isNew)
  const others = Map.groupBy(
    objects.filter((object) => !isNew(object)),
    ({ provider }) => provider,
  )
  for (const [provider, same] of others) {
    const ids = same.map(({ id }) => id)
    stand.push(...(await readObjects(sql, provider, ids)))
  }
  return new Map(stand.map((object) => [nameOf(object.provider, object.id), object]))
}

function jsonOf(booking: unknown): string | null {
  return booking === null || booking === undefined ? null : JSON.stringify(booking)
}
