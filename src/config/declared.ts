/**
 * What the configuration may declare beside how the proxy runs: organizations, their projects, and limits on both.
 * `tallygate config apply` brings the installation to it; nothing of it is read while calls are served.
 */
import { z } from "zod"
import {
  canSlice,
  isRising,
  readCap,
  SLICE_FAULT,
  THRESHOLD_MAX,
  THRESHOLDS_MAX,
  windowFaults,
} from "../admin/limit-shape.ts"
import {
  ENFORCEMENTS,
  LIMIT_KINDS,
  LIMIT_WINDOWS,
  ROLLING_DAYS_MAX,
  SLICE_TOKENS_MAX,
  SLICE_TOKENS_MIN,
  STORE_FAILURE_POLICIES,
  UNBOUNDED_POLICIES,
} from "../identity/limit.ts"

const NAMES_MAX = 10_000
const LIMITS_MAX = 20

function text(max: number) {
  const error = `text of 1 to ${max} characters`
  return z.string({ error }).min(1, { error }).max(max, { error })
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: `one of ${values.join(", ")}` })
}

function whole(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

const filterError = "text of 1 to 128 characters that neither begins nor ends with a blank"
const filterValue = z.string({ error: filterError }).regex(/^\S(?:.{0,126}\S)?$/, { error: filterError })

const externalId = text(200).describe("Its external_id, by which it is found again; the name may change.")

const declaredLimit = z
  .strictObject(
    {
      kind: oneOf(LIMIT_KINDS).describe("What is counted: requests, tokens, usd or concurrency."),
      window: oneOf(LIMIT_WINDOWS).describe(
        "Over which time: second, minute, hour, per_day (rates), day, week, month, quarter, year, rolling, lifetime; none for concurrency.",
      ),
      days: whole(2, ROLLING_DAYS_MAX).optional().describe("Of a rolling window: of how many days, today among them."),
      cap: z
        .union([z.string(), z.int()], { error: "a whole number, or dollars as a text" })
        .describe('The most: dollars as a text ("500.00"), everything else a whole number.'),
      time_zone: text(64)
        .optional()
        .describe("IANA zone in which its windows begin; another one is another limit, with nothing used."),
      anchor_day: whole(1, 31)
        .optional()
        .describe("On which day its windows begin: of a week 1 Monday to 7 Sunday, else of the month; the same."),
      on_store_failure: oneOf(STORE_FAILURE_POLICIES)
        .optional()
        .describe("What happens while the store that counts is away: deny, local or allow."),
      enforcement: oneOf(ENFORCEMENTS)
        .optional()
        .describe("What it does to a call without room: hard refuses, soft warns, shadow only counts."),
      thresholds: z
        .array(whole(1, THRESHOLD_MAX), { error: "a list of whole percents" })
        .max(THRESHOLDS_MAX, { error: `at most ${THRESHOLDS_MAX} percents` })
        .refine(isRising, { error: "percents that are each larger than the one before" })
        .optional()
        .describe("Percents of the cap at which someone is told, lowest first."),
      unbounded: oneOf(UNBOUNDED_POLICIES)
        .optional()
        .describe("What it does to a call whose most is not known beforehand: deny, clamp or overshoot."),
      slice_tokens: whole(SLICE_TOKENS_MIN, SLICE_TOKENS_MAX)
        .optional()
        .describe("A stream holds its output in slices of so many tokens as it flows; absent: all of it beforehand."),
      each: oneOf(["user", "key", "end_customer"])
        .optional()
        .describe("Whom it counts apart, each with the whole cap: user, key or end_customer; absent: all together."),
      tool: filterValue.optional().describe("Counts only calls with this x-tallygate-tool."),
      tag: filterValue.optional().describe("Counts only calls with this tag."),
    },
    { error: "a mapping of keys to values" },
  )
  .superRefine((limit, context) => {
    const read = readCap(limit.kind, limit.cap)
    const faults = [...(typeof read === "string" ? [["cap", read] as const] : []), ...windowFaults(limit)]
    if (limit.slice_tokens !== undefined && !canSlice(limit)) faults.push(["slice_tokens", SLICE_FAULT])
    if (limit.tool !== undefined && limit.tag !== undefined) faults.push(["tag", "must not stand beside tool"])
    for (const [member, fault] of faults) {
      context.addIssue({ code: "custom", path: [member], message: expectation(fault) })
    }
  })

type Limit = z.output<typeof declaredLimit>

/** What the admin API says of a limit, as a noun phrase, like every problem of the file. */
function expectation(fault: string): string {
  if (fault.startsWith("concurrency takes")) return "none for concurrency, and for nothing else"
  if (fault.startsWith("belongs to")) return `nothing, since it ${fault}`
  return fault.replace(/^must not (?:be|stand) /, "nothing ").replace(/^must (?:be|have|say) /, "")
}

/** By what a declaration knows a limit among those of its organization or project. */
function countingOf({ kind, window, days, each, tool, tag }: Limit): string {
  const over = days === undefined ? window : `${window} ${days} days`
  const apart = each === undefined ? "" : ` for each ${each}`
  const alone = tool !== undefined ? ` of the tool ${tool}` : tag !== undefined ? ` with the tag ${tag}` : ""
  return `${kind} by ${over}${apart}${alone}`
}

const limits = z
  .array(declaredLimit, { error: "a list of limits" })
  .max(LIMITS_MAX, { error: `at most ${LIMITS_MAX} limits` })
  .default([])

const declaredProject = z.strictObject(
  {
    id: externalId,
    name: text(200).describe("Its name, unique in the organization."),
    client: text(200).optional().describe("Whom its cost is charged to; stands in exports."),
    cost_center: text(200).optional().describe("The cost centre; stands in exports."),
    limits: limits.describe("Limits on calls of the project, at most one of a kind, window, days, each, tool and tag."),
  },
  { error: "a mapping of keys to values" },
)

const declaredOrganization = z.strictObject(
  {
    id: externalId,
    name: text(200).describe("Its name."),
    time_zone: text(64).optional().describe("IANA zone in which its days begin in reports."),
    limits: limits.describe(
      "Limits on calls of the organization, at most one of a kind, window, days, each, tool and tag.",
    ),
    projects: z
      .array(declaredProject, { error: "a list of projects" })
      .max(NAMES_MAX, { error: `at most ${NAMES_MAX} projects` })
      .default([])
      .describe("Its projects; those that are not declared stay as they are."),
  },
  { error: "a mapping of keys to values" },
)

export const declaredOrganizations = z
  .array(declaredOrganization, { error: "a list of organizations" })
  .max(NAMES_MAX, { error: `at most ${NAMES_MAX} organizations` })
  .superRefine((organizations, context) => {
    const places = organizations.flatMap((organization, at) => [
      { what: organization, path: [at] as (string | number)[] },
      ...organization.projects.map((what, index) => ({ what, path: [at, "projects", index] })),
    ])
    const seen = new Set<string>()
    for (const { what, path } of places) {
      if (seen.has(what.id)) context.addIssue({ code: "custom", path: [...path, "id"], message: "an id of its own" })
      seen.add(what.id)
      const counted = new Set<string>()
      what.limits.forEach((limit, index) => {
        const counting = countingOf(limit)
        const message = `one limit of ${counting}, since a declaration knows a limit by that`
        if (counted.has(counting)) {
          context.addIssue({ code: "custom", path: [...path, "limits", index, "kind"], message })
        }
        counted.add(counting)
      })
    }
  })
  .default([])
