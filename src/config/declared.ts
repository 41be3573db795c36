/**
 * What the configuration may declare beside how the proxy runs: organizations, their projects, and limits on both.
 * `tallygate config apply` brings the installation to it; nothing of it is read while calls are served.
 */
import { z } from "zod"
import { readCap } from "../admin/limit-shape.ts"
import { ENFORCEMENTS, LIMIT_KINDS, STORE_FAILURE_POLICIES } from "../identity/limit.ts"

const NAMES_MAX = 10_000
const LIMITS_MAX = 20
/** All but rolling ones, of which a subject may have several of one kind. */
const DECLARED_WINDOWS = [
  "second",
  "minute",
  "hour",
  "per_day",
  "day",
  "week",
  "month",
  "quarter",
  "year",
  "lifetime",
  "none",
] as const

function text(max: number) {
  const error = `text of 1 to ${max} characters`
  return z.string({ error }).min(1, { error }).max(max, { error })
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: `one of ${values.join(", ")}` })
}

const externalId = text(200).describe("Its external_id, by which it is found again; the name may change.")

const declaredLimit = z
  .strictObject(
    {
      kind: oneOf(LIMIT_KINDS).describe("What is counted: requests, tokens, usd or concurrency."),
      window: oneOf(DECLARED_WINDOWS).describe(
        "Over which time: second, minute, hour, per_day (rates), day, week, month, quarter, year, lifetime; none for concurrency.",
      ),
      cap: z
        .union([z.string(), z.int()], { error: "a whole number, or dollars as a text" })
        .describe('The most: dollars as a text ("500.00"), everything else a whole number.'),
      on_store_failure: oneOf(STORE_FAILURE_POLICIES)
        .optional()
        .describe("What happens while the store that counts is away: deny, local or allow."),
      enforcement: oneOf(ENFORCEMENTS)
        .optional()
        .describe("What it does to a call without room: hard refuses, soft warns, shadow only counts."),
      each: oneOf(["user", "key", "end_customer"])
        .optional()
        .describe("Whom it counts apart, each with the whole cap: user, key or end_customer; absent: all together."),
    },
    { error: "a mapping of keys to values" },
  )
  .superRefine(({ kind, window, cap }, context) => {
    const read = readCap(kind, cap)
    // Said as a noun phrase, like every problem of the file.
    if (typeof read === "string") {
      context.addIssue({ code: "custom", path: ["cap"], message: read.replace(/^must (?:be|have|not be) /, "") })
    }
    if ((kind === "concurrency") !== (window === "none")) {
      context.addIssue({ code: "custom", path: ["window"], message: "none for concurrency, and for nothing else" })
    }
  })

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
    limits: limits.describe("Limits on all calls of the project, at most one of a kind, window and each."),
  },
  { error: "a mapping of keys to values" },
)

const declaredOrganization = z.strictObject(
  {
    id: externalId,
    name: text(200).describe("Its name."),
    time_zone: text(64).optional().describe("IANA zone in which its days begin in reports."),
    limits: limits.describe("Limits on all calls of the organization, at most one of a kind, window and each."),
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
      what.limits.forEach(({ kind, window, each }, index) => {
        const apart = each === undefined ? "" : ` for each ${each}`
        const message = `one limit of ${kind} by ${window}${apart}, since a declaration knows a limit by that`
        if (counted.has(`${kind} ${window}${apart}`)) {
          context.addIssue({ code: "custom", path: [...path, "limits", index, "kind"], message })
        }
        counted.add(`${kind} ${window}${apart}`)
      })
    }
  })
  .default([])
