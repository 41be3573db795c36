/** How usage that did not pass the proxy is reported, what it is expected to be, and how a record is corrected. */
import { z } from "@hono/zod-openapi"
import type { ReportedUsage } from "../ledger/reported-usage.ts"
import { type Usage, usageFault, ZERO_USAGE } from "../metering/usage.ts"
import { parseUsd } from "../pricing/money.ts"
import { idInput } from "./answers.ts"

/** Days that a report may look back, and minutes that its clock may be ahead. */
const DAYS_BACK_MAX = 35
const MINUTES_AHEAD_MAX = 5
const COUNT_MAX = 100_000_000_000
const UNITS_MAX = 1_000_000_000
const TEXT_BYTES_MAX = 128
const LIST_MAX = 16
const USD_MAX = 1_000_000_000n * 10n ** 12n

/** Stands in an index: bounded, printable, and text in every encoding. */
const text = z.string().refine(isPlain, {
  error: `must be at most ${TEXT_BYTES_MAX} bytes, without control characters`,
})
const name = text.refine((value) => value.trim() !== "", { error: "must not be empty" })
const count = z.int().min(0).max(COUNT_MAX).optional()
const delta = z.int().min(-COUNT_MAX).max(COUNT_MAX).optional()
const units = z.number().max(UNITS_MAX)

const usd = z.string().transform((value, context) => {
  const parsed = parseUsd(value)
  if (parsed.kind === "parsed" && parsed.picos <= USD_MAX && parsed.picos >= -USD_MAX) return parsed.picos
  const message = parsed.kind === "invalid" ? parsed.reason : "at most a billion dollars"
  context.addIssue({ code: "custom", message: `must be dollars as a string: ${message}` })
  return z.NEVER
})

/** Token classes as they stand on records. */
const CLASSES = {
  input_uncached_tokens: "inputUncachedTokens",
  cache_read_tokens: "cacheReadTokens",
  cache_write_5m_tokens: "cacheWrite5mTokens",
  cache_write_1h_tokens: "cacheWrite1hTokens",
  output_tokens: "outputTokens",
  reasoning_tokens: "reasoningTokens",
  audio_input_tokens: "audioInputTokens",
  image_input_tokens: "imageInputTokens",
  audio_output_tokens: "audioOutputTokens",
  image_output_tokens: "imageOutputTokens",
  web_searches: "webSearches",
} as const satisfies Record<string, keyof Usage>
type ClassName = keyof typeof CLASSES
const CLASS_NAMES = Object.keys(CLASSES) as ClassName[]

const classesOf = <Schema extends z.ZodType>(schema: Schema) =>
  Object.fromEntries(CLASS_NAMES.map((one) => [one, schema])) as Record<ClassName, Schema>

const usageMembers = {
  ...classesOf(count),
  input_tokens: count.openapi({
    description: "All input, cached tokens included: what is not in a cache class is input_uncached_tokens.",
  }),
  units: units
    .min(0)
    .optional()
    .openapi({ description: "How much of unit_type, where tokens are not what is billed." }),
  unit_type: z
    .string()
    .max(64)
    .regex(/^[a-z][a-z0-9_]*(?::[A-Za-z0-9_.-]+)*$/, "must be a word such as seconds, characters or images")
    .optional(),
}

const reportMembers = {
  provider: name,
  model: text
    .optional()
    .openapi({ description: "As the price book knows it; may be left out where cost_usd is there." }),
  tier: text.optional().openapi({ description: "Service tier that was served, such as batch or flex; else standard." }),
  tool: text.optional(),
  operation: text.optional(),
  request_type: text.optional().openapi({ description: "Another name of operation." }),
  ...usageMembers,
  cost_usd: usd.optional().openapi({
    type: "string",
    description: "What it cost, as a decimal string; 0 is a value. Absent: what the price book says.",
  }),
  user: text.optional().openapi({ description: "Id or e-mail address of a user, where the credential may name one." }),
  project_id: idInput.optional(),
  end_customer: text.optional(),
  conversation: text.optional(),
  tags: z.array(name).max(LIST_MAX).optional(),
  metadata: z
    .record(name, text)
    .optional()
    .refine((value) => Object.keys(value ?? {}).length <= LIST_MAX, {
      error: `must have at most ${LIST_MAX} names`,
    }),
}

const keyInput = name.optional().openapi({
  description: "Your own key for this record: sent again under it, it is booked once. Without one it is booked again.",
})

const finalMembers = {
  ...reportMembers,
  duration_ms: z
    .number()
    .min(0)
    .max(DAYS_BACK_MAX * 86_400_000)
    .optional(),
  time: z.iso
    .datetime({ offset: true })
    .optional()
    .openapi({
      description: `When the call began, at most ${DAYS_BACK_MAX} days back and ${MINUTES_AHEAD_MAX} minutes ahead; absent: now.`,
    }),
  outcome: z.enum(["ok", "error", "aborted"]).optional(),
  error: text.optional().openapi({ description: "A code of what went wrong; the outcome is then error." }),
  idempotency_key: keyInput,
}

/** What is sent with a virtual key. */
export const keyReport = z
  .strictObject({
    ...finalMembers,
    hold_id: z.uuid().optional().openapi({ description: "A hold that this report ends." }),
  })
  .openapi("UsageReport")

/** What an admin sends: for whichever project, user and key the role covers. */
export const adminReport = z
  .strictObject({
    ...finalMembers,
    organization_id: idInput.optional(),
    key_id: idInput.optional().openapi({ description: "A key of the project, whose limits then count it too." }),
  })
  .openapi("UsageReportByAdmin")

export const holdInput = z
  .strictObject({
    ...reportMembers,
    expires_in: z.int().min(1).max(86_400).default(900).openapi({ description: "Seconds." }),
  })
  .openapi("NewUsageHold", { description: "What the call will use at most, named as a report names it." })

export const adjustmentInput = z
  .strictObject({
    ...classesOf(delta),
    units: units.min(-UNITS_MAX).optional(),
    cost_usd: usd.optional().openapi({
      type: "string",
      description: "By how much the cost changes, such as -0.25. Absent: what the price book makes of the difference.",
    }),
    reason: name,
    idempotency_key: keyInput,
  })
  .openapi("UsageAdjustment", {
    description: "By how much the record was wrong: what is added to it, or with a minus taken.",
  })

type Said = z.output<typeof keyReport> | z.output<typeof adminReport> | z.output<typeof holdInput>

/** Something is wrong with a report; thrown as an `ApiError` by its route, or told in the record's place of a batch. */
export type ReportFault = { readonly param: string; readonly message: string }

/** What a report says, complete; `nowMs` is the present. Shape faults are the schema's, these are between members. */
export function readReport(said: Said, nowMs: number): ReportedUsage | ReportFault {
  const usage = readUsage(said)
  if ("message" in usage) return usage
  const { model = "", tool = "", operation, request_type: requestType, cost_usd: cost, tags = [] } = said
  if (model.trim() === "" && cost === undefined) {
    return { param: "model", message: "model is needed for the price; it may be left out only beside cost_usd." }
  }
  if (operation !== undefined && requestType !== undefined && operation !== requestType) {
    return {
      param: "request_type",
      message: "request_type is another name of operation, and the two differ. Send one of them.",
    }
  }
  if (cost !== undefined && cost < 0n) {
    return {
      param: "cost_usd",
      message: "cost_usd must not be negative. What was booked is corrected by an adjustment.",
    }
  }
  const ending = readEnding(said, nowMs)
  if ("message" in ending) return ending
  return {
    provider: said.provider.trim(),
    model: model.trim(),
    tier: said.tier?.trim() ?? "",
    tool: tool.trim(),
    operation: (operation ?? requestType ?? "").trim(),
    usage,
    costPicos: cost ?? null,
    endCustomer: said.end_customer?.trim() ?? "",
    conversation: said.conversation?.trim() ?? "",
    tags: [...new Set(tags.map((tag) => tag.trim()))],
    metadata: { ...said.metadata },
    ...ending,
  }
}

type Ending = Pick<ReportedUsage, "durationMs" | "timeMs" | "outcome" | "error">

function readEnding(said: Said, nowMs: number): Ending | ReportFault {
  if (!("outcome" in said || "time" in said || "error" in said || "duration_ms" in said)) {
    return { durationMs: 0, timeMs: null, outcome: "ok", error: "" }
  }
  const { outcome, error = "", time, duration_ms: duration = 0 } = said
  if (outcome === "ok" && error !== "") {
    return { param: "error", message: "error says what went wrong, and outcome is ok. Send one of them." }
  }
  const timeMs = time === undefined ? null : Date.parse(time)
  if (timeMs !== null) {
    const fault = timeFault(timeMs, nowMs)
    if (fault !== null) return { param: "time", message: fault }
  }
  return {
    durationMs: Math.round(duration),
    timeMs,
    outcome: outcome ?? (error === "" ? "ok" : "error"),
    error: error.trim(),
  }
}

function timeFault(timeMs: number, nowMs: number): string | null {
  const earliestMs = nowMs - DAYS_BACK_MAX * 86_400_000
  const latestMs = nowMs + MINUTES_AHEAD_MAX * 60_000
  if (timeMs >= earliestMs && timeMs <= latestMs) return null
  const bounds = `at most ${DAYS_BACK_MAX} days back and ${MINUTES_AHEAD_MAX} minutes ahead`
  return `time must be ${bounds}: from ${new Date(earliestMs).toISOString()} to ${new Date(latestMs).toISOString()}.`
}

function readUsage(said: Said): Usage | ReportFault {
  const {
    input_tokens: all,
    units: quantity,
    unit_type: unitType,
    outcome,
    cost_usd: cost,
  } = { outcome: undefined, ...said }
  if ((quantity === undefined) !== (unitType === undefined)) {
    const [there, param] = unitType === undefined ? ["units", "unit_type"] : ["unit_type", "units"]
    return { param, message: `${there} stands without ${param}. Say how much of what, such as 12.5 seconds.` }
  }
  const cached = (said.cache_read_tokens ?? 0) + (said.cache_write_5m_tokens ?? 0) + (said.cache_write_1h_tokens ?? 0)
  if (all !== undefined && said.input_uncached_tokens !== undefined && all !== said.input_uncached_tokens + cached) {
    return {
      param: "input_tokens",
      message: "input_tokens is not the sum of the input classes. Send it or input_uncached_tokens.",
    }
  }
  if (all !== undefined && all < cached) {
    return {
      param: "input_tokens",
      message: `input_tokens counts cached tokens too, and the cache classes alone are ${cached}.`,
    }
  }
  const usage: Usage = {
    ...ZERO_USAGE,
    ...classUsage(said),
    inputUncachedTokens: said.input_uncached_tokens ?? (all === undefined ? 0 : all - cached),
    units: quantity ?? 0,
    unitType: quantity === 0 ? "" : (unitType ?? ""),
  }
  const isSilent = all === undefined && quantity === undefined && CLASS_NAMES.every((one) => said[one] === undefined)
  if (isSilent && cost === undefined && (outcome ?? "ok") === "ok" && !("error" in said)) {
    return {
      param: "input_tokens",
      message: "Nothing says how much was used: send tokens, units with unit_type, or cost_usd.",
    }
  }
  const fault = usageFault(usage)
  if (fault === null) return usage
  return { param: fault.part, message: `${fault.part} is more than ${fault.whole}, of which it is part.` }
}

function classUsage(said: Partial<Record<ClassName, number | undefined>>): Partial<Usage> {
  return Object.fromEntries(CLASS_NAMES.map((one) => [CLASSES[one], said[one] ?? 0]))
}

/** By how much a record was wrong; a fault where it says nothing. */
export function readDelta(said: z.output<typeof adjustmentInput>): Usage | ReportFault {
  const usage: Usage = { ...ZERO_USAGE, ...classUsage(said), units: said.units ?? 0 }
  const isNothing = Object.values(usage).every((value) => value === 0 || value === "") && (said.cost_usd ?? 0n) === 0n
  return isNothing
    ? { param: "cost_usd", message: "Nothing is to be changed: say by how much, in tokens, units or cost_usd." }
    : usage
}

function isPlain(value: string): boolean {
  return Buffer.byteLength(value) <= TEXT_BYTES_MAX && !/\p{Cc}/u.test(value) && value.isWellFormed()
}
