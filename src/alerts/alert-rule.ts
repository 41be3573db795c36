/** What alert rules there are, what each may be told, and what it takes where it is told nothing. Pure. */
import { z } from "zod"
import { FORECAST_THRESHOLDS_PERCENT, THRESHOLDS_PERCENT } from "./thresholds.ts"

export const RULE_KINDS = [
  "threshold",
  "anomaly",
  "error_rate",
  "provider_down",
  "unpriced",
  "key_expiry",
  "store_degraded",
  "journal_backlog",
] as const
export type RuleKind = (typeof RULE_KINDS)[number]

/** Kinds about the proxies themselves, which belong to no organization. */
export const INSTALLATION_KINDS: ReadonlySet<RuleKind> = new Set(["store_degraded", "journal_backlog"])

/** The rule that there is from the start. */
export const DEFAULT_RULE_ID = "rule_default"

const whole = (min: number, max: number) => z.int().min(min).max(max)
const percents = z.array(whole(1, 1_000))

/** Whose spending is compared with what is usual for it. */
export const ANOMALY_GROUPS = ["key", "project", "tool"] as const

/** Each member has a default, so that `{}` is a rule. */
export const PARAMETERS = {
  threshold: z.strictObject({
    /** Which limits are watched. */
    limit_kinds: z
      .array(z.enum(["usd", "tokens", "requests"]))
      .min(1)
      .max(3)
      .default(["usd", "tokens"]),
    /** Percent of the cap that is used. */
    thresholds: percents
      .min(1)
      .max(10)
      .default([...THRESHOLDS_PERCENT]),
    /** Percent of the cap that will be used at the window's end; [] tells no forecasts. */
    forecast_thresholds: percents.max(10).default([...FORECAST_THRESHOLDS_PERCENT]),
  }),
  anomaly: z.strictObject({
    by: z
      .array(z.enum(ANOMALY_GROUPS))
      .min(1)
      .max(ANOMALY_GROUPS.length)
      .default([...ANOMALY_GROUPS]),
    /** Whole dollars of a day beyond what is usual: less is not worth a message. */
    usd_min: whole(1, 1_000_000_000).default(10),
    /** How many standard deviations, robustly estimated, a day must lie above what is usual. */
    deviations: whole(2, 100).default(6),
  }),
  error_rate: z.strictObject({
    percent: whole(1, 100).default(10),
    /** Of the last so many minutes. */
    minutes: whole(1, 1_440).default(15),
    /** Fewer calls than these say nothing. */
    calls_min: whole(1, 1_000_000).default(20),
  }),
  provider_down: z.strictObject({
    /** Of an account's calls that got no answer from the provider, or its failure. */
    percent: whole(1, 100).default(50),
    /** Of the last so many minutes. */
    minutes: whole(1, 1_440).default(5),
    /** Of fewer calls than these all must have failed, and three at the least. */
    calls_min: whole(1, 1_000_000).default(10),
  }),
  unpriced: z.strictObject({}),
  key_expiry: z.strictObject({ days: whole(1, 365).default(14) }),
  store_degraded: z.strictObject({ minutes: whole(0, 1_440).default(1) }),
  journal_backlog: z.strictObject({ rows: whole(1, 1_000_000_000).default(100_000) }),
} as const satisfies Record<RuleKind, z.ZodType>

export type Parameters<Kind extends RuleKind> = z.output<(typeof PARAMETERS)[Kind]>

export type ParsedParameters =
  | { readonly kind: "parsed"; readonly parameters: Record<string, unknown> }
  | { readonly kind: "invalid"; readonly path: string; readonly message: string }

/** What a rule of the kind is told, defaults filled in, or what is wrong with it. */
export function parseParameters(kind: RuleKind, given: unknown): ParsedParameters {
  const parsed = PARAMETERS[kind].safeParse(given)
  if (parsed.success) return { kind: "parsed", parameters: parsed.data }
  const [issue] = parsed.error.issues
  const path = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path.join(".")
  return { kind: "invalid", path: path ?? "", message: issue?.message ?? "cannot be read" }
}
