/**
 * Erasures as they are asked for and carried on: each is begun in one transaction and done in batches, and whatever a
 * process leaves undone is done by the next one that looks. Counters of limits are renamed when the rows are, and twice
 * more, since calls that ran meanwhile may have charged the old name.
 */
import type { Actor } from "../identity/audit.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import {
  beginCustomer,
  type Counts,
  type Customer,
  type CustomerErasure,
  finishCustomer,
  pendingCustomers,
  rewriteCustomer,
} from "./erase-customer.ts"
import { beginUser, finishUser, pendingUsers, rewriteUser, type UserErasure } from "./erase-user.ts"

export type ErasureOptions = {
  readonly sql: Sql
  readonly log: Log
  /** To be awaited after a change to who is who. */
  readonly changed: () => Promise<void>
  readonly renameCounters: RenameCounters
  readonly waitMsMax?: number
}

/** `value`: null where it is known no more, and counters are to be filled from the ledger. */
export type RenameCounters = (organizationId: string, value: string | null, pseudonym: string) => Promise<void>

export type Erased = {
  /** What was changed so far, by table; null where that is not known yet. */
  readonly counts: Counts | null
  /** False: the rest is being done. */
  readonly isDone: boolean
}

const EVERY_MS = 60_000
/** Longer than counters are renamed again. */
const NAME_KEPT_MS = 2 * 3_600_000
/** So long is a caller kept waiting. */
const WAIT_MS_MAX = 20_000

export class Erasure {
  readonly #options: ErasureOptions
  readonly #work: RegularWork
  /** By pseudonym, for as long as this process may have counters of that name. */
  readonly #values = new Map<string, { readonly value: string; readonly sinceMs: number }>()
  /** What this process is doing at the moment. What another one does as well is done twice, to the same end. */
  readonly #running = new Set<string>()

  constructor(options: ErasureOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.carryOn(),
      log: options.log,
      failing: "erasures that were begun cannot be finished yet",
      mended: "erasures are finished again",
    })
  }

  start(): void {
    this.#work.start()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  async eraseCustomer(actor: Actor, customer: Customer): Promise<Erased & { readonly pseudonym: string }> {
    const { sql, changed } = this.#options
    const erasure = await beginCustomer(sql, actor, customer)
    await changed()
    const erased = await this.#awaited(erasure.pseudonym, () => this.#finishCustomer(erasure))
    return { ...erased, pseudonym: erasure.pseudonym }
  }

  /** Null where there is no such user. */
  async eraseUser(actor: Actor, id: string): Promise<Erased | null> {
    const { sql, changed } = this.#options
    const erasure = await beginUser(sql, actor, id)
    if (erasure === null) return null
    await changed()
    return this.#awaited(id, () => this.#finishUser(erasure))
  }

  /** Does what is left of erasures, whoever began them, and renames counters that are due. */
  async carryOn(): Promise<void> {
    const { sql } = this.#options
    for (const erasure of await pendingUsers(sql)) {
      if (!this.#running.has(erasure.userId)) await this.#alone(erasure.userId, () => this.#finishUser(erasure))
    }
    for (const erasure of await pendingCustomers(sql)) {
      if (!this.#running.has(erasure.pseudonym))
        await this.#alone(erasure.pseudonym, () => this.#finishCustomer(erasure))
    }
    await this.#renameDue()
    for (const [pseudonym, { sinceMs }] of this.#values) {
      if (performance.now() - sinceMs > NAME_KEPT_MS) this.#values.delete(pseudonym)
    }
  }

  async #finishCustomer(erasure: CustomerErasure): Promise<Counts> {
    const { sql } = this.#options
    this.#values.set(erasure.pseudonym, { value: erasure.value, sinceMs: performance.now() })
    const counts = await rewriteCustomer(sql, erasure)
    await this.#rename(erasure.organizationId, erasure.pseudonym)
    await finishCustomer(sql, erasure, counts)
    return counts
  }

  async #finishUser(erasure: UserErasure): Promise<Counts> {
    const { sql } = this.#options
    const counts = await rewriteUser(sql, erasure)
    await finishUser(sql, erasure, counts)
    return counts
  }

  async #renameDue(): Promise<void> {
    const { sql } = this.#options
    // Taken before it is done: the next turn does what this process does not live to do.
    const due = await sql<{ organization_id: string; pseudonym: string }[]>`
      UPDATE erased_customers SET counters_due =
        CASE WHEN counters_due < erased_at + interval '1 hour' THEN erased_at + interval '1 hour' END
      WHERE counters_due <= now() RETURNING organization_id, pseudonym`
    for (const { organization_id: organizationId, pseudonym } of due) await this.#rename(organizationId, pseudonym)
  }

  async #rename(organizationId: string, pseudonym: string): Promise<void> {
    const { sql, renameCounters } = this.#options
    const counted = await sql`
      SELECT 1 FROM limits WHERE organization_id = ${organizationId} AND each = 'end_customer' LIMIT 1`
    if (counted.length > 0) await renameCounters(organizationId, this.#values.get(pseudonym)?.value ?? null, pseudonym)
  }

  /** Waits for it, but not for ever: what takes longer goes on, and where it fails it is done by a later turn. */
  async #awaited(name: string, act: () => Promise<Counts>): Promise<Erased> {
    const done = this.#alone(name, act)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.#options.waitMsMax ?? WAIT_MS_MAX)
    })
    try {
      const counts = await Promise.race([done, late])
      if (counts !== null) return { counts, isDone: true }
      done.catch((err: unknown) =>
        this.#options.log.warn({ err }, "an erasure was broken off; it will be finished later"),
      )
      return { counts: null, isDone: false }
    } finally {
      clearTimeout(timer)
    }
  }

  async #alone(name: string, act: () => Promise<Counts>): Promise<Counts> {
    this.#running.add(name)
    try {
      return await act()
    } finally {
      this.#running.delete(name)
    }
  }
}
