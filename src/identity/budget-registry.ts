/**
 * Budgets: what is spent of money and tokens in one window, as limits of the same subject that are counted alike. A budget
 * is no thing of its own; it is a way to read and to write those limits, each of which can be seen and changed by itself.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Actor } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { LIMIT_DEFAULTS, type Limit, type LimitKind } from "./limit.ts"
import { addLimit, dropLimit, type LimitSubject, putLimitChange } from "./limit-registry.ts"
import { filterFrom, type LimitRow, limitColumns } from "./limit-row.ts"

export const BUDGET_KINDS = ["usd", "tokens"] as const satisfies readonly LimitKind[]
export type BudgetKind = (typeof BUDGET_KINDS)[number]

export const BUDGET_WINDOWS = ["day", "week", "month", "quarter", "year", "lifetime", "rolling"] as const

/**
 * What is to be so; what is undefined stays, or is `LIMIT_DEFAULTS` of what is made. A cap of null: no such limit. Which
 * budget it is, window, each and filter say, and of a rolling window its days (`anchorDay`).
 */
export type WantedBudget = Pick<Limit, "each" | "filter"> & {
  readonly window: (typeof BUDGET_WINDOWS)[number]
  readonly caps: { readonly [Kind in BudgetKind]?: bigint | null | undefined }
} & { readonly [Member in "timeZone" | "anchorDay" | "enforcement" | "thresholds"]?: Limit[Member] | undefined }

/** Whose budgets they are; whom and what each of them counts it says itself. */
export type BudgetSubject = Omit<LimitSubject, "each" | "filter">

export type PutBudgets =
  | { readonly kind: "put"; readonly rows: readonly LimitRow[] }
  /** The subject has as many limits as it may. Nothing was changed. */
  | { readonly kind: "full" }

class SubjectFull extends Error {}

/** Makes the subject's limits what the budgets say, in one act; returns those that they are made of then. */
export async function putBudgets(
  sql: Sql,
  actor: Actor,
  subject: BudgetSubject,
  budgets: readonly WantedBudget[],
): Promise<PutBudgets> {
  try {
    const rows = await sql.begin(async (transaction): Promise<readonly LimitRow[]> => {
      await raiseDirectoryVersion(transaction)
      for (const wanted of budgets) await putBudget(transaction, actor, subject, wanted)
      const rows = await readBudgetLimits(transaction, subject)
      return rows.filter((row) => budgets.some((wanted) => isOf(row, wanted)))
    })
    return { kind: "put", rows }
  } catch (error) {
    if (error instanceof SubjectFull) return { kind: "full" }
    throw error
  }
}

/** The subject's limits that budgets are made of, oldest first: of money and tokens, but no rates. */
export async function readBudgetLimits(
  sql: Sql | Transaction,
  { scope, subject }: Pick<LimitSubject, "scope" | "subject">,
): Promise<readonly LimitRow[]> {
  return sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits
    WHERE scope = ${scope} AND subject = ${subject} AND kind = ANY (${[...BUDGET_KINDS]}::text[])
      AND "window" = ANY (${[...BUDGET_WINDOWS]}::text[]) AND filter_model = '' AND filter_endpoint = ''
    ORDER BY created_at, id`
}

function isOf(row: LimitRow, { window, each, filter, anchorDay }: WantedBudget): boolean {
  const known = filterFrom(row)
  return (
    row.window === window &&
    row.each === each &&
    known?.by === filter?.by &&
    known?.value === filter?.value &&
    (window !== "rolling" || row.anchor_day === anchorDay)
  )
}

async function putBudget(
  transaction: Transaction,
  actor: Actor,
  subject: BudgetSubject,
  wanted: WantedBudget,
): Promise<void> {
  const present = (await readBudgetLimits(transaction, subject)).filter((row) => isOf(row, wanted))
  const counting = { ...subject, each: wanted.each, filter: wanted.filter }
  for (const kind of BUDGET_KINDS) {
    const own = present.filter((row) => row.kind === kind)
    const cap = wanted.caps[kind]
    if (cap === null) {
      for (const { id } of own) await dropLimit(transaction, actor, id)
    } else if (own.length > 0) {
      for (const row of own) await changeOrReplace(transaction, actor, counting, row, wanted, cap)
    } else if (cap !== undefined) {
      await add(transaction, actor, counting, kind, cap, wanted)
    }
  }
}

/** A limit's window never moves under what it has counted: with another zone or anchor day it is another limit. */
async function changeOrReplace(
  transaction: Transaction,
  actor: Actor,
  subject: LimitSubject,
  row: LimitRow,
  wanted: WantedBudget,
  cap: bigint | undefined,
): Promise<void> {
  const timeZone = wanted.timeZone ?? row.time_zone
  const anchorDay = wanted.anchorDay ?? row.anchor_day
  const enforcement = wanted.enforcement ?? row.enforcement
  const thresholds = wanted.thresholds ?? row.thresholds
  if (timeZone === row.time_zone && anchorDay === row.anchor_day) {
    await putLimitChange(transaction, actor, row, { cap, enforcement, thresholds })
    return
  }
  await dropLimit(transaction, actor, row.id)
  const { kind, on_store_failure: onStoreFailure, unbounded } = row
  const { window } = wanted
  const made = {
    kind,
    window,
    cap: cap ?? BigInt(row.cap),
    onStoreFailure,
    timeZone,
    anchorDay,
    enforcement,
    unbounded,
    thresholds,
  }
  if ((await addLimit(transaction, actor, subject, made)) === null) throw new SubjectFull()
}

async function add(
  transaction: Transaction,
  actor: Actor,
  subject: LimitSubject,
  kind: BudgetKind,
  cap: bigint,
  wanted: WantedBudget,
): Promise<void> {
  const { window } = wanted
  const limit = {
    kind,
    window,
    cap,
    timeZone: wanted.timeZone ?? LIMIT_DEFAULTS.timeZone,
    anchorDay: wanted.anchorDay ?? LIMIT_DEFAULTS.anchorDay,
    enforcement: wanted.enforcement ?? LIMIT_DEFAULTS.enforcement,
    thresholds: wanted.thresholds ?? LIMIT_DEFAULTS.thresholds,
  }
  if ((await addLimit(transaction, actor, subject, limit)) === null) throw new SubjectFull()
}
