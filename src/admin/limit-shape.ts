/**
 * How a limit is written and shown in the admin API, the same on a key and on its own: a cap of dollars is a decimal
 * string, everything else a whole number, and nothing is accepted that would have no effect.
 */
import { z } from "@hono/zod-openapi"
import { windowAt } from "../admission/window.ts"
import type { KeyLimitRow } from "../identity/key-registry.ts"
import {
  anchorDayMax,
  ENFORCEMENTS,
  type Enforcement,
  isCalendarWindow,
  LIMIT_DEFAULTS,
  LIMIT_KINDS,
  LIMIT_WINDOWS,
  type LimitKind,
  type LimitWindow,
  ROLLING_DAYS_MAX,
  ratePeriodMs,
  SLICE_TOKENS_MAX,
  SLICE_TOKENS_MIN,
  STORE_FAILURE_POLICIES,
  UNBOUNDED_POLICIES,
} from "../identity/limit.ts"
import type { NewLimit } from "../identity/limit-registry.ts"
import { formatUsd, PICOS_PER_NANO, parseUsd } from "../pricing/money.ts"

export const capInput = z
  .union([z.string().max(40), z.int().nonnegative()])
  .openapi({ description: 'A decimal string in dollars for usd ("5.00"), a whole number for the rest.' })

export const storeFailureInput = z.enum(STORE_FAILURE_POLICIES).openapi({
  description:
    "What happens while the store that counts is away: deny refuses calls, local admits within a share of what was last " +
    "seen left, allow does not apply the limit.",
})

export const enforcementInput = z.enum(ENFORCEMENTS).openapi({
  description:
    "What a limit does to a call without room: hard refuses it, soft lets it pass and warns in x-tallygate-warning, shadow " +
    "lets it pass unsaid and counts what it would have refused.",
})

/** The largest percent of a threshold, and how many a limit may have. */
export const THRESHOLD_MAX = 1_000
export const THRESHOLDS_MAX = 10

/** Whether each is larger than the one before. */
export function isRising(percents: readonly number[]): boolean {
  return percents.every((percent, index) => index === 0 || percent > (percents[index - 1] ?? 0))
}

export const unboundedInput = z.enum(UNBOUNDED_POLICIES).openapi({
  description:
    "What a hard limit on tokens or money does to a call whose most nobody can tell beforehand: deny refuses it, clamp holds " +
    "and bounds what can be bounded, overshoot lets it pass held at what is likely. docs/limits.md lists the reasons.",
})

export const thresholdsInput = z
  .array(z.int().min(1).max(THRESHOLD_MAX))
  .max(THRESHOLDS_MAX)
  .refine(isRising, { error: "must be whole percents, each larger than the one before" })
  .openapi({ description: `Percents of the cap at which someone is told; ${LIMIT_DEFAULTS.thresholds} unless told.` })

export const sliceInput = z
  .int()
  .min(SLICE_TOKENS_MIN)
  .max(SLICE_TOKENS_MAX)
  .openapi({
    description:
      "A stream holds its output in slices of so many tokens as it flows, and is ended cleanly when no further one fits; " +
      "without it the whole output is held beforehand. Of budgets of tokens or usd that are hard.",
  })

export const limitMembers = {
  kind: z.enum(LIMIT_KINDS).openapi({ description: "What is counted; usd is money." }),
  window: z.enum(LIMIT_WINDOWS).openapi({
    description:
      "second, minute, hour and per_day are rates, which drain by the cap in that time; day and longer are windows of the " +
      "calendar; none belongs to concurrency alone.",
  }),
  cap: capInput,
  on_store_failure: storeFailureInput.optional(),
  enforcement: enforcementInput.optional(),
  unbounded: unboundedInput.optional(),
  thresholds: thresholdsInput.optional(),
  slice_tokens: sliceInput.optional(),
  time_zone: z
    .string()
    .max(64)
    .optional()
    .openapi({
      description: `IANA zone in which a window of the calendar begins and ends; ${LIMIT_DEFAULTS.timeZone} unless told.`,
    }),
  days: z
    .int()
    .min(2)
    .max(ROLLING_DAYS_MAX)
    .optional()
    .openapi({ description: "Of how many days a rolling window is, today among them; no other window has it." }),
  anchor_day: z
    .int()
    .min(1)
    .max(31)
    .optional()
    .openapi({
      description:
        "Where a window begins; 1 unless told. Of a week the weekday, 1 Monday to 7 Sunday; of a month, and of the first " +
        "month of a quarter or year, the day, or the month's last day where it is shorter.",
    }),
}

const limitObject = z.strictObject(limitMembers)
export const limitInput = limitObject
  .openapi("NewLimit")
  .transform((input, context): NewLimit => newLimit(input, context) ?? z.NEVER)

/** The limit that the members say; null where they are wrong, each fault added to the context. */
export function newLimit(input: z.output<typeof limitObject>, context: z.RefinementCtx): NewLimit | null {
  const cap = readCap(input.kind, input.cap)
  const faults = [
    ...(typeof cap === "string" ? [["cap", cap] as const] : []),
    ...windowFaults(input),
    ...(input.slice_tokens === undefined || canSlice(input) ? [] : [["slice_tokens", SLICE_FAULT] as const]),
  ]
  for (const [member, message] of faults) context.addIssue({ code: "custom", path: [member], message })
  if (typeof cap === "string" || faults.length > 0) return null
  return {
    kind: input.kind,
    window: input.window,
    cap,
    ...(input.on_store_failure === undefined ? {} : { onStoreFailure: input.on_store_failure }),
    ...(input.enforcement === undefined ? {} : { enforcement: input.enforcement }),
    ...(input.unbounded === undefined ? {} : { unbounded: input.unbounded }),
    ...(input.thresholds === undefined ? {} : { thresholds: input.thresholds }),
    ...(input.slice_tokens === undefined ? {} : { sliceTokens: input.slice_tokens }),
    ...(input.time_zone === undefined ? {} : { timeZone: input.time_zone }),
    ...(input.anchor_day === undefined ? {} : { anchorDay: input.anchor_day }),
    ...(input.days === undefined ? {} : { anchorDay: input.days }),
  }
}

/** What is wrong with slices on a limit that cannot have them. */
export const SLICE_FAULT = "belongs to hard budgets of tokens or usd: no other limit ends a stream"

/** Whether a limit can hold a stream in slices: a hard sum of tokens or dollars. */
export function canSlice(limit: {
  readonly kind: LimitKind
  readonly window: LimitWindow
  readonly enforcement?: Enforcement | undefined
}): boolean {
  const { kind, window, enforcement = LIMIT_DEFAULTS.enforcement } = limit
  return (kind === "tokens" || kind === "usd") && ratePeriodMs(window) === null && enforcement === "hard"
}

/** The cap in the limit's unit, or what is wrong with it. */
export function readCap(kind: LimitKind, cap: string | number): bigint | string {
  if (kind !== "usd") {
    const text = String(cap)
    return /^\d{1,18}$/.test(text) ? BigInt(text) : "must be a whole number"
  }
  if (typeof cap === "number") return 'must be a decimal string such as "5.00", since a JSON number would be rounded'
  const parsed = parseUsd(cap)
  if (parsed.kind === "invalid") return `must be ${parsed.reason}`
  if (parsed.picos < 0n) return "must not be negative"
  if (parsed.picos % PICOS_PER_NANO !== 0n) return "must have at most 9 decimals"
  return parsed.picos / PICOS_PER_NANO
}

export const limitOutput = z.object({
  id: z.string(),
  kind: z.enum(LIMIT_KINDS),
  window: z.enum(LIMIT_WINDOWS),
  cap: z.string(),
  on_store_failure: z.enum(STORE_FAILURE_POLICIES),
  time_zone: z.string(),
  anchor_day: z.number(),
  days: z.number().nullable().openapi({ description: "Of a rolling window; null elsewhere." }),
  enforcement: z.enum(ENFORCEMENTS),
  unbounded: z.enum(UNBOUNDED_POLICIES),
  thresholds: z.array(z.number()),
  slice_tokens: z.number().nullable().openapi({ description: "null: the whole output is held beforehand." }),
  raised_cap: z.string().nullable().openapi({ description: "The cap until raised_until; null: no raise is in force." }),
  raised_until: z.string().nullable(),
})

export function shownLimit(row: KeyLimitRow): z.infer<typeof limitOutput> {
  const { id, kind, window, on_store_failure, time_zone, anchor_day, enforcement, unbounded } = row
  const { thresholds, slice_tokens } = row
  return {
    id,
    kind,
    window,
    cap: shownCap(kind, BigInt(row.cap)),
    on_store_failure,
    time_zone,
    anchor_day: window === "rolling" ? LIMIT_DEFAULTS.anchorDay : anchor_day,
    days: window === "rolling" ? anchor_day : null,
    enforcement,
    unbounded,
    thresholds,
    slice_tokens,
    raised_cap: row.raised_cap === null ? null : shownCap(kind, BigInt(row.raised_cap)),
    raised_until: row.raised_until === null ? null : new Date(row.raised_until).toISOString(),
  }
}

/** An amount in a limit's unit: dollars of money, whole numbers of everything else. */
export function shownCap(kind: LimitKind, amount: bigint): string {
  return kind === "usd" ? formatUsd(amount * PICOS_PER_NANO) : amount.toString()
}

type WindowMembers = Pick<z.output<typeof limitObject>, "kind" | "window" | "time_zone" | "anchor_day" | "days">

/** What is wrong with the window that the members say, by member. */
export function windowFaults(input: WindowMembers): (readonly [member: string, message: string])[] {
  const { kind, window, time_zone: zone, anchor_day: anchorDay } = input
  const faults: (readonly [string, string])[] = []
  if ((kind === "concurrency") !== (window === "none")) {
    faults.push(["window", "concurrency takes the window none, and only concurrency does"])
  }
  if (zone !== undefined && !isCalendarWindow(window)) {
    faults.push(["time_zone", "belongs to the windows day, week, month, quarter, year and rolling"])
  } else if (zone !== undefined && !isTimeZone(zone)) {
    faults.push(["time_zone", "must be an IANA time zone such as Europe/Berlin"])
  }
  if ((window === "rolling") !== (input.days !== undefined)) {
    faults.push([
      "days",
      window === "rolling" ? "must say how many days the window is of" : "belongs to the window rolling",
    ])
  }
  const anchorMax = anchorDayMax(window)
  if (anchorDay !== undefined && anchorMax === 0) {
    faults.push(["anchor_day", "belongs to the windows week, month, quarter and year"])
  } else if (anchorDay !== undefined && anchorDay > anchorMax) {
    faults.push(["anchor_day", `must be at most ${anchorMax} for a ${window}: 1 Monday to 7 Sunday`])
  }
  return faults
}

export const timeZoneInput = z
  .string()
  .max(64)
  .refine(isTimeZone, { error: "must be an IANA time zone such as Europe/Berlin" })

/** True for what windows can be computed in; an offset such as +01:00 knows no summer and is refused. */
function isTimeZone(text: string): boolean {
  if (!/^[A-Za-z]/.test(text)) return false
  try {
    windowAt("day", text, LIMIT_DEFAULTS.anchorDay, 0)
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}
