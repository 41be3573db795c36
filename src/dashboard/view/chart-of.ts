/** A series of the API as a chart draws it: what is measured, in which order, in which colours. */

import type { Series, Sums } from "../api/usage.ts"
import type { ChartData, ChartSeries } from "../charts/chart-data.ts"
import { axisCount, axisDuration, axisMoney, count, duration, lengthOf, total } from "../format/format.ts"
import { groupId, groupName, plural } from "./group-names.ts"
import { slotsOf } from "./slots.ts"
import { type GroupName, MEASURES, type MeasureName } from "./view.ts"

type Said = {
  readonly of: (sums: Sums) => string
  readonly say: (value: string) => string
  readonly axis: (value: number) => string
  readonly unit: string
}

export const SAID: Readonly<Record<Exclude<MeasureName, "latency">, Said>> = {
  spend: { of: (sums) => sums.cost_usd, say: total, axis: axisMoney, unit: "USD" },
  tokens: { of: (sums) => sums.tokens, say: count, axis: axisCount, unit: "tokens" },
  requests: { of: (sums) => sums.records, say: count, axis: axisCount, unit: "requests" },
}

type Frame = Pick<ChartData, "bucket" | "timeZone" | "buckets" | "running">

/** Null where the measure cannot be told apart that way: token classes have no requests. */
export function chartOf(
  series: Series,
  by: readonly GroupName[],
  measure: MeasureName,
  onPick?: ChartData["onPick"],
): ChartData {
  const frame: Frame = {
    bucket: series.bucket,
    timeZone: series.range.time_zone,
    buckets: series.buckets,
    running: runningBucket(series),
  }
  const pick = onPick === undefined ? {} : { onPick }
  if (measure === "latency") return { ...latencyChart(series, frame), ...pick }
  const { of, say, axis } = SAID[measure]
  const before = series.previous
  return {
    ...frame,
    label: `${MEASURES[measure]} for each ${series.bucket}${by[0] === undefined ? "" : `, by ${by.join(" and ")}`}`,
    series: by.length === 0 ? [wholeSeries(series, of)] : groupSeries(series, by, of),
    totals: series.series.map(of),
    earlier:
      before?.series === undefined || before.series.length === 0
        ? null
        : before.series.slice(0, series.buckets.length).map((sums, index) => ({
            from: earlierStart(series, before.from, index),
            total: of(sums),
          })),
    axis,
    say,
    ...pick,
  }
}

function wholeSeries({ series }: Series, of: Said["of"]): ChartSeries {
  return { id: "all", name: "All", slot: "bar", values: series.map(of) }
}

/** The largest first, whatever the table is sorted by: the order of bars, legend and tooltip. */
function groupSeries(series: Series, by: readonly GroupName[], of: Said["of"]): ChartSeries[] {
  const slots = slotsOf(
    by.join(),
    series.data.map((group) => groupName(group, by)),
  )
  const sorted = [...series.data].sort((one, two) => lengthOf(of(two)) - lengthOf(of(one)))
  const shown = sorted.map((group): ChartSeries => {
    const name = groupName(group, by)
    return { id: groupId(group, by), name, slot: slots.get(name) ?? "other", values: (group.series ?? []).map(of) }
  })
  const { other } = series
  if (other === null || other.groups === 0) return shown
  const name = otherName(other.groups, by)
  return [...shown, { id: "(other)", name, slot: "other", values: (other.series ?? []).map(of) }]
}

export function otherName(groups: number, by: readonly GroupName[]): string {
  return `Other, ${groups} ${by.length === 1 && by[0] !== undefined ? plural(by[0]) : "groups"}`
}

function latencyChart(series: Series, frame: Frame): ChartData {
  const of = (percentile: "p50" | "p99") =>
    series.series.map((sums) => {
      const found = sums.latency?.ttft?.[percentile]
      return found == null ? null : String(found)
    })
  return {
    ...frame,
    label: `Time to the first token for each ${series.bucket}`,
    series: [
      { id: "p50", name: "p50", slot: "c1", values: of("p50") },
      { id: "p99", name: "p99", slot: "c2", values: of("p99"), isThin: true },
    ],
    totals: null,
    earlier: null,
    axis: axisDuration,
    say: (value) => duration(Number(value)),
  }
}

/** The last bucket, where the range ends with the present. */
function runningBucket({ buckets, as_of: asOf }: Series): number | null {
  const last = buckets.at(-1)
  return last !== undefined && last.until >= asOf ? buckets.length - 1 : null
}

/** Where the earlier bucket began: as far into the earlier range as this one is into its own, by whole days where it can be. */
function earlierStart({ buckets, range }: Series, earlierFrom: string, index: number): string {
  const into = Date.parse(buckets[index]?.from ?? range.from) - Date.parse(range.from)
  return new Date(Date.parse(earlierFrom) + into).toISOString()
}
