/** Where usage of the running period is going, and when budgets will be used up. */
import { createRoute, z } from "@hono/zod-openapi"
import { ENFORCEMENTS, LIMIT_EACH, LIMIT_SCOPES, LIMIT_WINDOWS } from "../identity/limit.ts"
import { formatUsd } from "../pricing/money.ts"
import type { BudgetProjection } from "../reporting/budget-projection.ts"
import { PERIODS, projectionQuestion, type UsageProjection, usageProjection } from "../reporting/usage-projection.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers } from "./answers.ts"
import { shownCap } from "./limit-shape.ts"

const EACH = LIMIT_EACH.filter((each) => each !== "")
const DAY_MS = 24 * 3_600_000

/** One budget with where it goes, as other routes show it as well. */
export const budgetOutput = z
  .object({
    limit_id: z.string(),
    scope: z.enum(LIMIT_SCOPES),
    subject: z.string().openapi({ description: "An id; of a provider account `provider/account`." }),
    subject_name: z.string().nullable(),
    each: z.enum(EACH).nullable().openapi({
      description: "Whom the limit counts apart: each who has used something in this window has a row.",
    }),
    counted: z.string().nullable().openapi({ description: "Whom this row counts; `nobody`: calls without a user." }),
    counted_name: z.string().nullable(),
    tool: z.string().nullable().openapi({ description: "Only calls of this tool are counted." }),
    tag: z.string().nullable().openapi({ description: "Only calls with this tag are counted." }),
    kind: z.enum(["usd", "tokens"]),
    window: z.enum(LIMIT_WINDOWS),
    days: z.number().nullable().openapi({ description: "Of a rolling window; null elsewhere." }),
    time_zone: z.string(),
    enforcement: z.enum(ENFORCEMENTS),
    cap: z.string().openapi({ description: "The cap in force, that of a raise included." }),
    used: z.string().openapi({ description: "Of the current window, by the ledger." }),
    percent: z.number().nullable().openapi({ description: "Of the cap, rounded down; null where the cap is nothing." }),
    resets_at: z.string().nullable().openapi({ description: "When the window ends; null for lifetime and rolling." }),
    state: z.enum(["ok", "warning", "exceeded", "too_early"]).openapi({
      description:
        "exceeded: the cap is used up. warning: it will be before the window ends (lifetime, rolling: within 30 days). " +
        "too_early: fewer than 3 whole days were seen.",
    }),
    days_seen: z.number(),
    projected_end: z.string().nullable().openapi({
      description: "At the window's end; null where it is too early to say, and for lifetime and rolling.",
    }),
    low: z.string().nullable().openapi({ description: "Lower end of the 80 % interval." }),
    high: z.string().nullable().openapi({ description: "Upper end of the 80 % interval." }),
    exhausted_at: z.string().nullable().openapi({
      description:
        "When the cap is reached; null: not before the window ends (lifetime, rolling: not within a year), or already.",
    }),
    days_to_exhaustion: z.number().nullable().openapi({ description: "0 where the cap is used up." }),
  })
  .openapi("BudgetProjection")

const projectionOutput = z
  .object({
    as_of: z.string().openapi({ description: "What had reached the ledger by then is in the sums." }),
    period: z.enum(PERIODS),
    from: z.string(),
    until: z.string().openapi({ description: "The period's end, of which the projection is." }),
    time_zone: z.string(),
    state: z.enum(["projected", "too_early"]).openapi({
      description: "too_early: fewer than 3 whole days since the first call that matches, of the last 8 weeks.",
    }),
    days_seen: z.number().openapi({ description: "Whole days that the projection is made of, 56 at most." }),
    spent: z.string().openapi({ description: "Dollars of the period so far." }),
    daily_average: z.string().nullable().openapi({ description: "Dollars a day at the present pace." }),
    projected: z.string().nullable().openapi({ description: "Dollars at the period's end." }),
    low: z.string().nullable().openapi({ description: "Lower end of the 80 % interval." }),
    high: z.string().nullable().openapi({ description: "Upper end of the 80 % interval." }),
    budgets: z.array(budgetOutput).openapi({
      description:
        "Limits of money and tokens that the caller sees, most used first; organization, project, user and key of the " +
        "filter narrow them.",
    }),
    budgets_more: z.number().openapi({ description: "How many there are beyond those shown." }),
  })
  .openapi("UsageProjection")

export function projectionRoutes(app: AdminApp, { sql, clock }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/usage/projection",
    middleware: permit("usage:read"),
    request: { query: projectionQuestion },
    responses: answers(
      200,
      "What the running period will have cost at its end, and when budgets end.",
      projectionOutput,
    ),
  })
  app.openapi(route, async (context) => {
    const nowMs = clock.nowMs()
    const visibility = context.get("access").visible()
    const projection = await usageProjection(sql, context.req.valid("query"), visibility, nowMs)
    return context.json(shown(projection, nowMs), 200)
  })
}

function shown(found: UsageProjection, nowMs: number): z.infer<typeof projectionOutput> {
  const { projection, dailyAverage } = found
  const dollars = (picos: bigint | undefined) => (picos === undefined ? null : formatUsd(picos))
  return {
    ...{ as_of: iso(found.asOfMs), period: found.period, from: iso(found.fromMs), until: iso(found.toMs) },
    time_zone: found.timeZone,
    state: projection === null ? "too_early" : "projected",
    days_seen: found.daysSeen,
    spent: formatUsd(found.spent),
    daily_average: dollars(dailyAverage ?? undefined),
    projected: dollars(projection?.projected),
    low: dollars(projection?.low),
    high: dollars(projection?.high),
    budgets: found.budgets.map((budget) => shownBudget(budget, nowMs)),
    budgets_more: found.more,
  }
}

export function shownBudget(budget: BudgetProjection, nowMs: number): z.infer<typeof budgetOutput> {
  const { limit, counter, used, cap, state, projection, reachedAtMs, span } = budget
  const { kind, each, filter } = counter
  const amount = (value: bigint | undefined) => (value === undefined ? null : shownCap(kind, value))
  return {
    ...{ limit_id: limit.id, scope: limit.scope, subject: counter.subject, subject_name: budget.subjectName },
    each: each === "" ? null : each,
    counted: counter.counted || null,
    counted_name: budget.countedName,
    tool: filter?.by === "tool" ? filter.value : null,
    tag: filter?.by === "tag" ? filter.value : null,
    ...{ kind, window: limit.window, days: limit.window === "rolling" ? limit.anchorDay : null },
    ...{ time_zone: limit.timeZone, enforcement: limit.enforcement },
    cap: shownCap(kind, cap),
    used: shownCap(kind, used),
    percent: cap === 0n ? null : Number((used * 100n) / cap),
    resets_at: limit.window === "rolling" || span.endsAtMs === null ? null : iso(span.endsAtMs),
    ...{ state, days_seen: budget.daysSeen },
    projected_end: amount(projection?.projected),
    low: amount(projection?.low),
    high: amount(projection?.high),
    exhausted_at: reachedAtMs === null ? null : iso(reachedAtMs),
    days_to_exhaustion: state === "exceeded" ? 0 : daysUntil(reachedAtMs, nowMs),
  }
}

/** To one decimal; null where it is not reached. */
function daysUntil(atMs: number | null, nowMs: number): number | null {
  return atMs === null ? null : Math.round(((atMs - nowMs) / DAY_MS) * 10) / 10
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
