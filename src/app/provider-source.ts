/**
 * Providers, accounts and account limits that are stored by API, as this process knows them: read again whenever the
 * directory sees another version, and handed on where they differ. While Postgres is away those read last go on.
 */
import { NOTHING_STORED, type StoredProviders } from "../identity/provider-account.ts"
import { openProviderRows, type ProviderRows, readProviderRows } from "../identity/provider-account-rows.ts"
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { SecretBox } from "../platform/secret-box.ts"

const READ_MS_MAX = 2_000

export type ProviderSourceOptions = {
  /** Opens a pool of its own, of one connection: it drops one that does not answer. */
  readonly openPostgres: () => Sql
  readonly box: SecretBox
  readonly log: Log
}

export class ProviderSource {
  readonly #postgres: BoundedPostgres
  readonly #box: SecretBox
  readonly #log: Log
  #stored: StoredProviders = NOTHING_STORED
  /** The rows of `#stored`, as a text to compare. */
  #text = ""
  #version = ""
  /** Reads are counted as they begin; an earlier one must not undo a later one. */
  #readsBegun = 0
  #readAnswered = 0
  #isReadable = true
  #isStopped = false
  #onChange: (stored: StoredProviders) => void = () => undefined

  constructor(options: ProviderSourceOptions) {
    this.#postgres = new BoundedPostgres(options.openPostgres)
    this.#box = options.box
    this.#log = options.log
  }

  get stored(): StoredProviders {
    return this.#stored
  }

  /** Whether all that is stored and enabled can be used; else what cannot, and why. */
  get inAWord(): string {
    const { unusable } = this.#stored
    return unusable.length === 0 ? "usable" : unusable.map(({ name, reason }) => `${name}: ${reason}`).join("; ")
  }

  /** From now on told of each change; one listener. */
  onChange(listener: (stored: StoredProviders) => void): void {
    this.#onChange = listener
  }

  /** Reads again where this version is another one than that of what is known; tried again at the next look where it fails. */
  async follow(version: string): Promise<void> {
    if (version === this.#version) return
    const turn = ++this.#readsBegun
    try {
      const rows = await this.#postgres.run(readProviderRows, READ_MS_MAX)
      if (turn < this.#readAnswered) return
      this.#readAnswered = turn
      this.#version = version
      if (!this.#isReadable) this.#log.info("provider accounts can be read again")
      this.#isReadable = true
      this.#take(rows)
    } catch (error) {
      if (this.#isStopped) return
      if (this.#isReadable) this.#log.warn({ err: error }, "provider accounts cannot be read; those read last go on")
      this.#isReadable = false
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#postgres.close()
  }

  #take(rows: ProviderRows): void {
    const text = JSON.stringify(rows)
    if (text === this.#text) return
    this.#text = text
    const before = new Set(this.#stored.unusable.map(({ name }) => name))
    this.#stored = openProviderRows(rows, this.#box)
    for (const { name, reason } of this.#stored.unusable) {
      if (!before.has(name)) this.#log.error({ provider_account: name, reason }, "provider account cannot be used")
    }
    this.#onChange(this.#stored)
  }
}
