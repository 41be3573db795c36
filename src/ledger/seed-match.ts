/**
 * Which records a new limit counts although they do not name it: calls that were admitted before their proxy knew it. The
 * same twice, since processes ask it of a call that ends and Postgres of records that come in; a test holds both against
 * one another.
 */
import type { Charge } from "../admission/limit-store.ts"
import { customerSubject, NOBODY } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import { matchesGlob } from "../platform/glob.ts"
import type { UsageRecord } from "./usage-record.ts"

/** A new limit in one of its windows. */
export type LimitSeed = {
  readonly limit: Limit
  readonly window: string
  /** Epoch milliseconds; infinite where the window has no such end. */
  readonly startsAtMs: number
  readonly endsAtMs: number
  /** The limit's own subject, as records write it. */
  readonly subject: string
}

/** What is asked of a record, all of it known when its call is forwarded. */
export type SeedFacts = Pick<
  UsageRecord,
  | "time"
  | "organization_id"
  | "project_id"
  | "user_id"
  | "key_id"
  | "end_customer"
  | "provider"
  | "provider_account"
  | "tool"
  | "tags"
  | "model_routed"
  | "endpoint"
>

/** The limits that count the record, as charges of nothing, and among whose counters; but those that it names by these ids. */
export function seedCharges(seeds: readonly LimitSeed[], facts: SeedFacts, named: ReadonlySet<string>): Charge[] {
  const atMs = Date.parse(facts.time)
  return seeds.flatMap((seed) => {
    const { limit, window, startsAtMs, endsAtMs } = seed
    if (named.has(limit.id) || atMs < startsAtMs || atMs >= endsAtMs || !counts(seed, facts)) return []
    const counted = countedOf(limit.each, facts)
    const own = counted === "" ? limit : { ...limit, subject: `${limit.subject} ${counted}` }
    const resetsAtMs = endsAtMs === Number.POSITIVE_INFINITY ? null : endsAtMs
    return [{ limit: own, window, resetsAtMs, amount: 0n }]
  })
}

function counts({ limit, subject }: LimitSeed, facts: SeedFacts): boolean {
  return subjectOf(limit.scope, facts) === subject && meets(limit.filter, facts)
}

function subjectOf(scope: Limit["scope"], facts: SeedFacts): string {
  switch (scope) {
    case "organization":
      return facts.organization_id
    case "project":
      return facts.project_id
    case "user":
      return facts.user_id
    case "key":
      return facts.key_id
    case "provider_account":
      return `${facts.provider}/${facts.provider_account}`
  }
}

function meets(filter: Limit["filter"], facts: SeedFacts): boolean {
  if (filter === null) return true
  switch (filter.by) {
    case "tag":
      return facts.tags.includes(filter.value)
    case "model":
      return matchesGlob(filter.value, facts.model_routed)
    default:
      return facts[filter.by] === filter.value
  }
}

function countedOf(each: Limit["each"], facts: SeedFacts): string {
  switch (each) {
    case "":
      return ""
    case "organization":
      return facts.organization_id
    case "project":
      return facts.project_id
    case "user":
      return facts.user_id || NOBODY
    case "key":
      return facts.key_id
    case "end_customer":
      return customerSubject(facts.end_customer)
  }
}

/** The same of records `r` and rows `s` of `limit_seeds` with their limits `l`, in SQL. */
export const COUNTS_SQL = `r.time >= s.starts_at AND r.time < s.ends_at
    AND CASE l.scope WHEN 'organization' THEN r.organization_id WHEN 'project' THEN r.project_id
          WHEN 'user' THEN r.user_id WHEN 'key' THEN r.key_id ELSE r.provider || '/' || r.provider_account END = s.subject
    AND (l.filter_tool = '' OR r.tool = l.filter_tool) AND (l.filter_tag = '' OR l.filter_tag = ANY (r.tags))
    AND (l.filter_endpoint = '' OR r.endpoint = l.filter_endpoint)
    AND (l.filter_model = '' OR r.model_routed LIKE
         replace(replace(replace(replace(l.filter_model, '\\', '\\\\'), '%', '\\%'), '_', '\\_'), '*', '%'))`

/** The counter's subject. */
export const SUBJECT_SQL = `l.subject || CASE l.each WHEN '' THEN '' ELSE ' ' || CASE l.each
      WHEN 'organization' THEN r.organization_id WHEN 'project' THEN r.project_id WHEN 'key' THEN r.key_id
      WHEN 'user' THEN coalesce(nullif(r.user_id, ''), '${NOBODY}')
      ELSE coalesce(nullif(replace(replace(r.end_customer, '%', '%25'), ' ', '%20'), ''), '${NOBODY}') END END`

/** Among whose counters. */
export const OWNER_SQL = `CASE l.scope WHEN 'provider_account' THEN 'acct:' || l.subject ELSE l.organization_id END`

/** What the record charges, in the unit of the limit's cap. */
export const AMOUNT_SQL = `CASE l.kind WHEN 'requests' THEN (r.kind = 'call')::int::numeric
      WHEN 'usd' THEN coalesce(ceil(r.cost_usd * 1000000000), 0)
      ELSE r.input_uncached_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens
           + r.output_tokens END`
