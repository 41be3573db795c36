/**
 * The erased as this process knows them: what end-customers who were erased are called in calls and reports from then on.
 * Looks whenever the directory has another version, keeps the copy beside the database, and takes what it learns to the
 * quarantine of its data directory, which no statement reaches.
 */
import { Quarantine } from "../ledger/quarantine.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { withoutErased } from "./erased-record.ts"
import { writeErasureFile } from "./erasure-file.ts"
import { type ErasureList, NOBODY_ERASED, Pseudonyms, readErasureList } from "./erasure-list.ts"

export type KnownErasuresOptions = {
  readonly sql: Sql
  readonly dataDir: string
  readonly journalFolder: string
  /** Told when somebody was erased, once the quarantine is rewritten. */
  readonly onErased: () => void
  readonly log: Pick<Log, "warn">
}

export class KnownErasures {
  readonly #options: KnownErasuresOptions
  #pseudonyms = new Pseudonyms(NOBODY_ERASED)
  #seenVersion = ""
  #seenList = ""
  #isFailing = false

  constructor(options: KnownErasuresOptions) {
    this.#options = options
  }

  /** What the end-customer is called: as the caller says, or by the pseudonym. */
  nameOf(organizationId: string, endCustomer: string): string {
    return this.#pseudonyms.of(organizationId, endCustomer) ?? endCustomer
  }

  /** To be told at every look at the directory. Never rejects; what fails is tried again at the next look. */
  async follow(version: string): Promise<void> {
    if (version === this.#seenVersion) return
    try {
      await this.#look()
      this.#seenVersion = version
      this.#isFailing = false
    } catch (err) {
      if (!this.#isFailing) this.#options.log.warn({ err }, "the list of the erased cannot be read or kept yet")
      this.#isFailing = true
    }
  }

  async #look(): Promise<void> {
    const { sql, dataDir, journalFolder } = this.#options
    const [now] = await sql<{ list: string }[]>`
      SELECT (SELECT count(*) || ' ' || coalesce(max(erased_at)::text, '') FROM erased_customers) || ' ' ||
             (SELECT count(*) || ' ' || coalesce(max(erased_at)::text, '') FROM erased_users) AS list`
    if (now === undefined || now.list === this.#seenList) return
    const list = await readErasureList(sql)
    this.#pseudonyms = new Pseudonyms(list)
    if (list.customers.length + list.users.length > 0) await writeErasureFile(dataDir, list)
    this.#eraseIn(new Quarantine(journalFolder), list)
    if (list.customers.length + list.users.length > 0) this.#options.onErased()
    this.#seenList = now.list
  }

  #eraseIn(quarantine: Quarantine, { users }: ErasureList): void {
    const erasedUsers = new Set(users.map(({ userId }) => userId))
    quarantine.rewrite((body) => withoutErased(body, this.#pseudonyms, erasedUsers))
  }
}
