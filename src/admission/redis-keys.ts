/**
 * Where an organization's counters and holds stand in Redis, or a provider account's. One hash tag for all of it, so that
 * a Cluster keeps an organization on one node; the scripts are told these names and make up none.
 */
export class OrganizationKeys {
  /** Its epoch, whether it is open, and who has said what of a recovery. */
  readonly state: string
  /** Live holds by id. */
  readonly holds: string
  /** Ids of live holds by the end of their leases. */
  readonly leaseEnds: string
  /** Names of budget windows by when their counters may go. */
  readonly windows: string
  readonly #prefix: string

  /** @throws RangeError where the id would break the hash tag */
  constructor(organizationId: string) {
    if (!/^[^{}\s]{1,500}$/.test(organizationId)) {
      throw new RangeError(`"${organizationId}" cannot name an organization`)
    }
    this.#prefix = `tg:{${organizationId}}:`
    this.state = `${this.#prefix}e`
    this.holds = `${this.#prefix}l`
    this.leaseEnds = `${this.#prefix}x`
    this.windows = `${this.#prefix}n`
  }

  /** Counters of a window, by `counterField`. */
  window(window: string): string {
    return `${this.#prefix}w:${window}`
  }

  /** Ids of holds that ended, of one bucket of time. */
  finished(epoch: string, bucket: string): string {
    return `${this.#prefix}d:${epoch}:${bucket}`
  }
}

/** A counter's field in the hash of its window. */
export function counterField(limitId: string, subject: string): string {
  return `${limitId}|${subject}`
}
