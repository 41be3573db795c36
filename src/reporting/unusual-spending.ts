/**
 * Keys, projects or tools that have spent far more in a day than is usual for them. Only those that have spent enough in
 * that day are looked at further: most of an installation never is.
 */
import type { Transaction } from "../platform/postgres.ts"
import { USUAL_DAYS_MAX, type Usual, usualOf, usualUpTo } from "./anomaly.ts"
import { piecesOf } from "./pieces.ts"
import { type PastDays, pastDays } from "./projection-days.ts"
import type { UsageFilter } from "./question.ts"
import { runSums, type Summed } from "./run-sums.ts"
import type { Places } from "./sums-statement.ts"
import { quarterAfter } from "./time-range.ts"
import { picosOf } from "./token-classes.ts"

export type SpendingQuestion = {
  readonly organizationId: string
  /** '': all of them. */
  readonly projectId: string
  readonly timeZone: string
  readonly by: "key" | "project" | "tool"
  /** Pico-dollars that a day must lie above what is usual at the least. */
  readonly leastMore: bigint
  readonly deviations: number
}

export type UnusualSpending = {
  readonly id: string
  /** `2026-11-24`. */
  readonly day: string
  readonly weekday: number
  readonly fromMs: number
  readonly toMs: number
  /** Pico-dollars of the day, so far. */
  readonly spent: bigint
  readonly usual: Usual
  readonly usualUpTo: bigint
}

/** Of one organization and one way to tell spenders apart, so many at the most: the largest. */
const SPENDERS_MAX = 500
/** What yesterday has spent is looked at so long, since the last calls of a day come in after it. */
const LATE_MS = 3_600_000

/** Of today and, in its first hour, of yesterday. */
export async function unusualSpending(
  transaction: Transaction,
  question: SpendingQuestion,
  nowMs: number,
): Promise<readonly UnusualSpending[]> {
  const past = pastDays(question.timeZone, nowMs, USUAL_DAYS_MAX + 1)
  const before = past.days.slice(1)
  const yesterday = past.days.at(-1)
  const found = await unusualIn(transaction, question, { days: before, day: past.today }, nowMs)
  if (yesterday === undefined || nowMs - past.today.fromMs >= LATE_MS) return found
  return [
    ...found,
    ...(await unusualIn(transaction, question, { days: past.days.slice(0, -1), day: yesterday }, nowMs)),
  ]
}

type Days = PastDays["days"]
/** The day that is judged, and those before it. */
type Judged = { readonly days: Days; readonly day: Days[number] }

async function unusualIn(
  transaction: Transaction,
  question: SpendingQuestion,
  { days, day }: Judged,
  nowMs: number,
): Promise<UnusualSpending[]> {
  const { by, leastMore, deviations } = question
  const toMs = Math.min(day.toMs, quarterAfter(nowMs + 1))
  const largest = { kind: "largest", top: SPENDERS_MAX, by: "cost" } as const
  const spenders = await sumsBy(transaction, question, {}, [day.fromMs, toMs], largest)
  const worth = spenders.groups.flatMap(({ key: [id = ""], sums }) => {
    const spent = picosOf(sums.cost_usd)
    return id !== "" && spent >= leastMore ? [{ id, spent }] : []
  })
  if (worth.length === 0) return []
  const ids = worth.map(({ id }) => id)
  const boundaries = [...days.map(({ fromMs }) => fromMs), day.fromMs]
  const given = { kind: "given", groups: ids.map((id) => [id]) } as const
  const earlier = await sumsBy(transaction, question, { [by]: ids }, boundaries, given)
  const seriesOf = new Map(earlier.groups.map(({ key: [id = ""], series }) => [id, series]))
  return worth.flatMap(({ id, spent }) => {
    const series = seriesOf.get(id) ?? []
    const first = series.findIndex(({ records }) => records !== "0")
    if (first === -1) return []
    const seen = days.map(({ weekday }, index) => ({ weekday, amount: picosOf(series[index]?.cost_usd ?? "0") }))
    const usual = usualOf(seen.slice(first), day.weekday)
    if (usual === null) return []
    const upTo = usualUpTo(usual, deviations, leastMore)
    const { id: label, weekday, fromMs } = day
    return spent > upTo ? [{ id, day: label, weekday, fromMs, toMs, spent, usual, usualUpTo: upTo }] : []
  })
}

async function sumsBy(
  transaction: Transaction,
  { organizationId, projectId, by }: SpendingQuestion,
  filter: UsageFilter,
  boundaries: readonly number[],
  places: Places,
): Promise<Summed> {
  const source = { kind: "pieces", pieces: await piecesOf(transaction, [organizationId], boundaries) } as const
  const narrowed = projectId === "" ? filter : { ...filter, project: [projectId] }
  const asked = { scope: { kind: "all" }, groupBy: [by], boundaries, places, withLatency: false } as const
  return runSums(transaction, { ...asked, filter: narrowed }, source)
}
