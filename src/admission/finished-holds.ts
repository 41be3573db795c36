/**
 * The memory of holds that are over, so that an act which comes twice counts once. Settled and released ids are kept
 * in small sets that are thrown away whole: no timer, no time stamp per id, no long rehash on the request path. Swept
 * holds are kept with their charges, so that the late truth can replace what expiry charged.
 */
import type { Charge } from "./limit-store.ts"

const REMEMBERED_MS = 30 * 60_000
const BUCKET_MS = 10 * 60_000

export type FinishedHoldsBounds = {
  /** Ids per bucket; at more than this in ten minutes buckets turn over sooner and memory gets shorter than 30 min. */
  readonly bucketIdsMax: number
  readonly bucketsMax: number
  readonly sweptMax: number
}

/** At most 262,144 finished ids (about 30 MB) and 65,536 swept holds. */
const DEFAULT_BOUNDS: FinishedHoldsBounds = { bucketIdsMax: 32_768, bucketsMax: 8, sweptMax: 65_536 }

type Bucket = { readonly openedAtMs: number; closedAtMs: number; readonly ids: Set<string> }

export class FinishedHolds {
  readonly #bounds: FinishedHoldsBounds
  /** Newest first. */
  readonly #buckets: Bucket[] = []
  readonly #swept = new Map<string, { readonly charges: readonly Charge[]; readonly sweptAtMs: number }>()

  constructor(bounds: FinishedHoldsBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds
  }

  /** Whether the hold was settled or released. */
  isDone(id: string): boolean {
    for (const bucket of this.#buckets) if (bucket.ids.has(id)) return true
    return false
  }

  /** What expiry charged for this hold; undefined where it was not swept. */
  sweptCharges(id: string): readonly Charge[] | undefined {
    return this.#swept.get(id)?.charges
  }

  /** Remembers that a hold was settled or released; a swept one is swept no more. */
  addDone(id: string, nowMs: number): void {
    this.#swept.delete(id)
    this.#openBucket(nowMs).ids.add(id)
  }

  addSwept(id: string, charges: readonly Charge[], nowMs: number): void {
    this.#swept.set(id, { charges, sweptAtMs: nowMs })
    if (this.#swept.size > this.#bounds.sweptMax) this.#forgetOldestSwept()
  }

  /** Forgets what is older than 30 minutes. */
  forget(nowMs: number): void {
    for (let last = this.#buckets.at(-1); last !== undefined; last = this.#buckets.at(-1)) {
      const endedAtMs = this.#buckets.length === 1 ? last.openedAtMs + BUCKET_MS : last.closedAtMs
      if (nowMs - endedAtMs < REMEMBERED_MS) break
      this.#buckets.pop()
    }
    for (const [id, { sweptAtMs }] of this.#swept) {
      if (nowMs - sweptAtMs < REMEMBERED_MS) break
      this.#swept.delete(id)
    }
  }

  #openBucket(nowMs: number): Bucket {
    const newest = this.#buckets[0]
    const isOpen =
      newest !== undefined && nowMs - newest.openedAtMs < BUCKET_MS && newest.ids.size < this.#bounds.bucketIdsMax
    if (isOpen) return newest
    if (newest !== undefined) newest.closedAtMs = nowMs
    const bucket = { openedAtMs: nowMs, closedAtMs: nowMs, ids: new Set<string>() }
    this.#buckets.unshift(bucket)
    if (this.#buckets.length > this.#bounds.bucketsMax) this.#buckets.pop()
    return bucket
  }

  #forgetOldestSwept(): void {
    for (const id of this.#swept.keys()) {
      this.#swept.delete(id)
      return
    }
  }
}
