/**
 * Where usage of a running week, month, quarter or year is going, and the budgets over it: answered from one snapshot.
 * How it is computed is in `projection.ts`.
 */
import { z } from "zod"
import { windowAt } from "../admission/window.ts"
import type { Visibility } from "../identity/role.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type BudgetProjections, budgetProjections } from "./budget-projection.ts"
import { type AskedOrganization, askedOrganizations, zoneOf } from "./organizations.ts"
import { piecesOf } from "./pieces.ts"
import { dailyAverage, type Projection, paceOf, projectionOf } from "./projection.ts"
import { daysSinceFirstUse, pastDays, stretchesAhead } from "./projection-days.ts"
import { choice, FILTER_SHAPE } from "./question.ts"
import { runSums } from "./run-sums.ts"
import { inSnapshot } from "./snapshot.ts"
import { quarterAfter } from "./time-range.ts"
import { picosOf } from "./token-classes.ts"

export const PERIODS = ["week", "month", "quarter", "year"] as const

/** The filter but for its range, which is the period, and what single records alone can answer. */
export const projectionQuestion = z
  .strictObject(FILTER_SHAPE)
  .omit({ range: true, from: true, until: true, conversation: true, end_customer: true, tag: true, unpriced: true })
  .extend({ period: choice(PERIODS).transform((given) => given ?? "month") })
export type ProjectionQuestion = z.output<typeof projectionQuestion>

export type UsageProjection = BudgetProjections & {
  /** When the snapshot was taken. */
  readonly asOfMs: number
  readonly period: (typeof PERIODS)[number]
  readonly timeZone: string
  /** The whole period. */
  readonly fromMs: number
  readonly toMs: number
  /** Whole days that the projection is made of. */
  readonly daysSeen: number
  /** Of the period so far, pico-dollars. */
  readonly spent: bigint
  /** Pico-dollars; null where too few days were seen to say. */
  readonly dailyAverage: bigint | null
  readonly projection: Projection | null
}

/** `nowMs` is the present, epoch milliseconds. */
export function usageProjection(
  sql: Sql,
  question: ProjectionQuestion,
  visibility: Visibility,
  nowMs: number,
): Promise<UsageProjection> {
  return inSnapshot(sql, async (transaction, asOfMs) => {
    const organizations = await askedOrganizations(transaction, question, visibility)
    const timeZone = zoneOf(question, organizations)
    const { startsAtMs, endsAtMs } = windowAt(question.period, timeZone, 1, nowMs)
    if (startsAtMs === null || endsAtMs === null) throw new Error(`A ${question.period} has no end.`)
    const past = pastDays(timeZone, nowMs)
    const parts = await seriesOf(transaction, question, visibility, organizations, past.boundaries)
    const days = daysSinceFirstUse(past, parts)
    const [soFar] = await seriesOf(transaction, question, visibility, organizations, [
      startsAtMs,
      quarterAfter(nowMs + 1),
    ])
    const spent = soFar?.amount ?? 0n
    const pace = paceOf(days)
    return {
      ...{ asOfMs, period: question.period, timeZone, fromMs: startsAtMs, toMs: endsAtMs, spent },
      daysSeen: days.length,
      dailyAverage: pace && dailyAverage(pace),
      projection: pace && projectionOf(pace, spent, stretchesAhead(timeZone, nowMs, endsAtMs)),
      ...(await budgetProjections(transaction, question, visibility, nowMs)),
    }
  })
}

/** What was spent between the boundaries, pico-dollars. */
async function seriesOf(
  transaction: Transaction,
  filter: ProjectionQuestion,
  visibility: Visibility,
  organizations: readonly AskedOrganization[],
  boundaries: readonly number[],
) {
  const organizationIds = organizations.map(({ id }) => id)
  const source = { kind: "pieces", pieces: await piecesOf(transaction, organizationIds, boundaries) } as const
  const asked = {
    filter,
    scope: visibility,
    groupBy: [],
    boundaries,
    places: { kind: "all" },
    withLatency: false,
  } as const
  const { series } = await runSums(transaction, asked, source)
  return series.map((sums) => ({ amount: picosOf(sums.cost_usd), isUsed: sums.records !== "0" }))
}
