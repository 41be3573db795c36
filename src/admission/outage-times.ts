/**
 * Since when the store does not answer, and since when it fills an organization's counters anew. Both are one outage to
 * those whose calls are decided without it: a store that comes back empty has been away for as long as it was silent.
 */
import type { Outage } from "./local-share.ts"
import { SIGHT_AGE_MS_MAX } from "./sights.ts"

export class OutageTimes {
  /** When the first of the acts that failed was sent; null after one that was answered. */
  failingSinceMs: number | null = null
  #last = { sinceMs: Number.NEGATIVE_INFINITY, endedMs: Number.NEGATIVE_INFINITY }
  /** Organizations whose counters are being refilled: since when, and when the store last said so. */
  readonly #recovering = new Map<string, { readonly sinceMs: number; saidMs: number }>()

  /** The store answers again; returns since when it did not. */
  end(endedMs: number): number {
    const sinceMs = this.failingSinceMs ?? endedMs
    this.failingSinceMs = null
    this.#last = { sinceMs, endedMs }
    return sinceMs
  }

  /** The store has said at `saidMs` that it fills this organization's counters. */
  noteRecovering(organizationId: string, saidMs: number): void {
    const known = this.#recovering.get(organizationId)
    if (known !== undefined && saidMs - known.saidMs <= SIGHT_AGE_MS_MAX) {
      known.saidMs = saidMs
      return
    }
    const { sinceMs, endedMs } = this.#last
    const hasJustComeBack = saidMs - endedMs <= SIGHT_AGE_MS_MAX
    this.#recovering.set(organizationId, { sinceMs: hasJustComeBack ? sinceMs : saidMs, saidMs })
  }

  /** The organization's counters are whole. */
  noteWhole(organizationId: string): void {
    if (this.#recovering.size > 0) this.#recovering.delete(organizationId)
  }

  /** Whether the last outage and every filling are so long ago that nothing is compared with them any more. */
  isLongOver(nowMs: number): boolean {
    for (const [organizationId, { saidMs }] of this.#recovering) {
      if (nowMs - saidMs > SIGHT_AGE_MS_MAX) this.#recovering.delete(organizationId)
    }
    return this.#recovering.size === 0 && nowMs - this.#last.endedMs > SIGHT_AGE_MS_MAX
  }

  /** The outage in which a call of the organization is decided now; `epochMs` is now, in milliseconds since 1970. */
  of(organizationId: string, nowMs: number, epochMs: number): Outage {
    const failingSinceMs = this.failingSinceMs ?? nowMs
    const recovering = this.#recovering.get(organizationId)
    const isContinued = recovering !== undefined && failingSinceMs - recovering.saidMs <= SIGHT_AGE_MS_MAX
    const sinceMs = isContinued ? recovering.sinceMs : failingSinceMs
    return { nowMs, sinceMs, sinceEpochMs: epochMs - (nowMs - sinceMs) }
  }
}
