/** Runs the statement of sums and sorts its rows into totals, buckets and groups; buckets without calls are zeros. */
import type { Transaction } from "../platform/postgres.ts"
import { readSums, type Sums, type SumsRow, zeroSums } from "./measures.ts"
import { SqlText } from "./sql-text.ts"
import { type SumsQuestion, type SumsSource, sumsStatement } from "./sums-statement.ts"

export type SummedGroup = {
  /** The values of the groups that were asked for; none where there are no groups. */
  readonly key: readonly string[]
  readonly sums: Sums
  /** One for each bucket. */
  readonly series: readonly Sums[]
}

export type Summed = {
  readonly totals: Sums
  /** One for each bucket. */
  readonly series: readonly Sums[]
  /** In order of their places. */
  readonly groups: readonly SummedGroup[]
  /** What has no place of its own; null where there is nothing else. */
  readonly other: (SummedGroup & { readonly groups: number }) | null
}

type Row = SumsRow & {
  readonly over_places: number
  readonly over_buckets: number
  readonly place: number
  readonly b: number
  /** How many groups are added up in place 0. */
  readonly other_groups: number
}

export async function runSums(transaction: Transaction, question: SumsQuestion, source: SumsSource): Promise<Summed> {
  const text = new SqlText()
  const rows = await text.run<Row>(transaction, sumsStatement(text, question, source))
  const read = (row: Row) => readSums(row, question.withLatency)
  const zero = zeroSums(question.withLatency)
  const empty = () => Array.from({ length: question.boundaries.length - 1 }, () => zero)
  const all = { totals: zero, series: empty() }
  const byPlace = new Map<number, SummedGroup & { series: Sums[]; groups: number }>()
  for (const row of rows) {
    const isOverPlaces = row.over_places === 1
    const isOverBuckets = row.over_buckets === 1
    if (isOverPlaces && isOverBuckets) all.totals = read(row)
    else if (isOverPlaces) all.series[row.b - 1] = read(row)
    else if (isOverBuckets) {
      byPlace.set(row.place, {
        key: question.groupBy.map((_, index) => String(row[`d${index + 1}`])),
        sums: read(row),
        series: empty(),
        groups: row.other_groups,
      })
    }
  }
  for (const row of rows) {
    if (row.over_places === 1 || row.over_buckets === 1) continue
    const group = byPlace.get(row.place)
    if (group !== undefined) group.series[row.b - 1] = read(row)
  }
  const other = byPlace.get(0) ?? null
  const groups = [...byPlace].filter(([place]) => place !== 0).sort(([one], [two]) => one - two)
  return { ...all, groups: groups.map(([, group]) => group), other }
}
