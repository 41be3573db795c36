/** What the data plane works with: its collaborators and its bounds, given once by `app.ts`. */
import type { Admission } from "../admission/admit.ts"
import type { Directory } from "../identity/directory.ts"
import type { Sharing } from "../identity/provider-object.ts"
import type { ProviderObjects } from "../identity/provider-objects.ts"
import type { Journal } from "../ledger/journal.ts"
import type { LimitSeeding } from "../ledger/limit-seeding.ts"
import type { RefusalCounts } from "../ledger/refusal-counts.ts"
import type { Estimator } from "../metering/estimator.ts"
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { StoredPrices } from "../pricing/stored-prices.ts"
import type { Router } from "../providers/router.ts"
import type { Upstreams } from "../providers/upstreams.ts"
import type { DrainGate } from "./drain-gate.ts"
import type { NewValues } from "./new-values.ts"
import type { Doors } from "./open-door.ts"
import type { ProxyMetrics } from "./proxy-metrics.ts"

export type DataPlane = {
  readonly clock: Clock
  readonly mintId: (nowMs: number) => string
  readonly log: Log
  readonly directory: Directory
  readonly router: Router
  readonly doors: Doors
  readonly priceBook: PriceBook
  /** What was set by API, and stands before the book. */
  readonly storedPrices: StoredPrices
  readonly admission: Admission
  readonly journal: Journal
  readonly upstreams: Upstreams
  readonly estimator: Estimator
  readonly drains: DrainGate
  readonly objects: ProviderObjects
  readonly objectPolicy: ObjectPolicy
  readonly newValues: NewValues
  /** Records of later usage that are being booked by this process at the moment. */
  readonly bookings: Set<string>
  /** Providers that have refused to be asked for the usage of a stream, by name. */
  readonly usageRefusers: Set<string>
  readonly metrics: ProxyMetrics
  /** What was refused of whose calls. */
  readonly refusals: RefusalCounts
  /** What end-customers who were erased are called. */
  readonly erasures: { nameOf(organizationId: string, endCustomer: string): string }
  /** New limits, to which calls are charged that were admitted before. */
  readonly seeding: Pick<LimitSeeding, "grown">
  readonly bounds: DataPlaneBounds
}

export type ObjectPolicy = {
  /** Whose keys reach an object. */
  readonly sharedBy: Sharing
  /** An object that no key has made here becomes that of the first key that names it. */
  readonly adoptsUnknown: boolean
}

export type DataPlaneBounds = {
  /** Longest request body, in bytes. */
  readonly bodyBytesMax: number
  /** Calls to endpoints that nobody here can meter are passed on for every key. */
  readonly allowsUnmetered: boolean
  /** Output tokens expected of a call that names no maximum. */
  readonly expectedOutputTokens: number
}
