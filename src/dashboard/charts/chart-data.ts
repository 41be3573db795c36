/** What the charts draw, as pages hand it to them: buckets, series of decimal strings, and how values are said. */

export type ChartBucket = { readonly from: string; readonly until: string }

export type ChartSeries = {
  readonly id: string
  readonly name: string
  /** `c1` to `c10`, or `other`. */
  readonly slot: string
  /** One decimal string for each bucket; null where nothing was measured. */
  readonly values: readonly (string | null)[]
  /** Drawn thinner, beside what it goes with. */
  readonly isThin?: boolean
}

export type ChartData = {
  /** Says what the plot shows, for whoever does not see it. */
  readonly label: string
  readonly bucket: "hour" | "day" | "week" | "month"
  readonly timeZone: string
  readonly buckets: readonly ChartBucket[]
  /** The largest first, the rest (`other`) last. */
  readonly series: readonly ChartSeries[]
  /** Of each bucket over all series, from the server; null where values do not add up. */
  readonly totals: readonly string[] | null
  /** The bucket of the earlier range that stands against each one. */
  readonly earlier: readonly { readonly from: string; readonly total: string }[] | null
  /** What stands against the buckets, where it is no earlier range: the caps of windows. */
  readonly earlierName?: string
  /** The bucket that is still running; null where all are over. */
  readonly running: number | null
  readonly axis: (value: number) => string
  readonly say: (value: string) => string
  /** Zooms to a bucket, and to a series where one was meant. */
  readonly onPick?: (bucket: number, series: ChartSeries | null) => void
}
