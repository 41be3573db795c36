/** How a budget is written and shown in the admin API. */
import { z } from "@hono/zod-openapi"
import { BUDGET_KINDS, BUDGET_WINDOWS, type BudgetKind, type WantedBudget } from "../identity/budget-registry.ts"
import { LIMIT_DEFAULTS, LIMIT_EACH, type LimitScope } from "../identity/limit.ts"
import { ApiError } from "../platform/error-table.ts"
import type { LimitStanding } from "../reporting/limit-standings.ts"
import { filterInputs, filterOf, type Narrowing, scopeFaults } from "./limit-scope.ts"
import {
  capInput,
  limitMembers,
  readCap,
  shownCap,
  thresholdsInput,
  timeZoneInput,
  windowFaults,
} from "./limit-shape.ts"

const EACH = LIMIT_EACH.filter((each) => each !== "")

export const budgetChange = z
  .strictObject({
    usd: capInput.nullable().optional().openapi({ description: 'Dollars ("25.00"); null: money is not limited.' }),
    tokens: capInput.nullable().optional().openapi({ description: "Whole tokens; null: tokens are not limited." }),
    window: z.enum(BUDGET_WINDOWS).openapi({
      description: "Which budget it is: there is one of each window (with its days), each, tool and tag.",
    }),
    days: limitMembers.days,
    each: z
      .enum(EACH)
      .optional()
      .openapi({
        description:
          "Gives each of them the whole budget: of an organization or project each user or key, of a provider account also " +
          "each organization or project.",
      }),
    ...filterInputs,
    time_zone: timeZoneInput.optional(),
    anchor_day: limitMembers.anchor_day,
    hard: z.boolean().optional().openapi({
      description: "true: calls without room are refused; false: they pass with a warning. A new budget is hard.",
    }),
    thresholds: thresholdsInput.optional(),
  })
  .openapi("BudgetChange", {
    description:
      "What is absent stays as it is. Another time zone or anchor day begins another window, with nothing used.",
  })
  .transform((input, context): WantedBudget & { readonly narrowing: Narrowing } => {
    const { window, days, each, tool, tag, time_zone: timeZone, anchor_day: anchorDay, hard, thresholds } = input
    const fault = (member: string, message: string) => {
      context.addIssue({ code: "custom", path: [member], message })
    }
    const capOf = (kind: BudgetKind): bigint | null | undefined => {
      const given = input[kind]
      const cap = given === undefined || given === null ? given : readCap(kind, given)
      if (typeof cap !== "string") return cap
      fault(kind, cap)
      return undefined
    }
    for (const [member, message] of windowFaults({ ...input, kind: "usd" })) fault(member, message)
    return {
      ...{ window, timeZone, thresholds, each: each ?? "", filter: filterOf({ tool, tag }) },
      anchorDay: window === "rolling" ? days : anchorDay,
      enforcement: hard === undefined ? undefined : hard ? "hard" : "soft",
      caps: { usd: capOf("usd"), tokens: capOf("tokens") },
      narrowing: { each, tool, tag },
    }
  })

/** Refuses what a budget of this scope cannot count apart or alone. @throws ApiError with the member's name */
export function requireNarrowing(scope: LimitScope, narrowing: Narrowing): void {
  const [fault] = scopeFaults(scope, narrowing)
  if (fault === undefined) return
  const [param, message] = fault
  throw new ApiError("invalid_request", `${param}: ${message}.`, { param })
}

const spendingOutput = z.object({
  limit_id: z.string(),
  cap: z.string().openapi({ description: "The cap in force, that of a raise included." }),
  used: z.string().nullable().openapi({ description: "By the ledger; null where each has a budget of its own." }),
  remaining: z.string().nullable(),
  resets_at: z.string().nullable(),
  hard: z.boolean(),
  thresholds: z.array(z.number()),
})
const budgetOutput = z
  .object({
    window: z.enum(BUDGET_WINDOWS),
    days: z.number().nullable().openapi({ description: "Of a rolling window; null elsewhere." }),
    each: z.enum(EACH).nullable().openapi({ description: "Who has the whole budget each; null: all together." }),
    tool: z.string().nullable().openapi({ description: "Only calls of this tool count." }),
    tag: z.string().nullable().openapi({ description: "Only calls with this tag count." }),
    time_zone: z.string(),
    anchor_day: z.number(),
    usd: spendingOutput.nullable(),
    tokens: spendingOutput.nullable(),
  })
  .openapi("Budget")
export const budgetsOutput = z.object({ data: z.array(budgetOutput) })
type ShownBudget = z.infer<typeof budgetOutput>

/**
 * Limits that are counted alike are one budget, in the order of the first of each; where two are of one kind, the smaller
 * cap counts.
 */
export function shownBudgets(standings: readonly LimitStanding[]): ShownBudget[] {
  const budgets = new Map<string, ShownBudget>()
  for (const standing of standings) {
    const blank = blankBudget(standing)
    const name = JSON.stringify(blank)
    const budget = budgets.get(name) ?? blank
    budgets.set(name, budget)
    const own = BUDGET_KINDS.find((known) => known === standing.limit.kind)
    if (own !== undefined && isSmaller(standing, budget[own])) budget[own] = shownSpending(standing)
  }
  return [...budgets.values()]
}

function blankBudget({ limit: { window, timeZone, anchorDay, each, filter } }: LimitStanding): ShownBudget {
  const isRolling = window === "rolling"
  return {
    window: window as ShownBudget["window"],
    days: isRolling ? anchorDay : null,
    each: each === "" ? null : each,
    tool: filter?.by === "tool" ? filter.value : null,
    tag: filter?.by === "tag" ? filter.value : null,
    time_zone: timeZone,
    anchor_day: isRolling ? LIMIT_DEFAULTS.anchorDay : anchorDay,
    usd: null,
    tokens: null,
  }
}

function isSmaller({ limit }: LimitStanding, known: ShownBudget[BudgetKind]): boolean {
  if (known === null) return true
  const cap = readCap(limit.kind, known.cap)
  return typeof cap === "bigint" && limit.cap < cap
}

function shownSpending({ limit, used, remaining, resetsAtMs }: LimitStanding): z.infer<typeof spendingOutput> {
  const amount = (value: bigint | null) => (value === null ? null : shownCap(limit.kind, value))
  return {
    limit_id: limit.id,
    cap: shownCap(limit.kind, limit.cap),
    used: amount(used),
    remaining: amount(remaining),
    resets_at: resetsAtMs === null ? null : new Date(resetsAtMs).toISOString(),
    hard: limit.enforcement === "hard",
    thresholds: [...limit.thresholds],
  }
}
