/**
 * The write path of limits, on whichever scope they stand. Each act is one transaction that also writes its audit row
 * and raises `directory_version`. A limit keeps its id and its subject for life, so what is counted on it survives every
 * change; what a deleted limit has used stays in the ledger.
 */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { LIMIT_DEFAULTS, type Limit, type LimitFilter, ratePeriodMs } from "./limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "./limit-row.ts"
import type { Target, Visibility } from "./role.ts"
import { visibleRows } from "./visible-rows.ts"

/** Every limit that applies to a call is checked on every call, so one subject has a handful. */
export const LIMITS_PER_SUBJECT_MAX = 20

/** What an admin says of a limit; what is left out is `LIMIT_DEFAULTS`. */
export type NewLimit = Pick<Limit, "kind" | "window" | "cap"> &
  Partial<
    Pick<
      Limit,
      "onStoreFailure" | "timeZone" | "anchorDay" | "enforcement" | "unbounded" | "thresholds" | "sliceTokens"
    >
  >

/**
 * What a limit counts for: the id of an organization, project, user or key; or a provider account (`accountSubject`) of
 * no organization (''). Whom it counts apart there, and which calls alone.
 */
export type LimitSubject = Pick<Limit, "organizationId" | "scope" | "subject"> & Partial<Pick<Limit, "each" | "filter">>

const SUBJECT_TABLES = {
  organization: "organizations",
  project: "projects",
  user: "users",
  key: "virtual_keys",
} as const

export type CreatedLimit =
  | { readonly kind: "created"; readonly row: LimitRow }
  /** The organization has no such project, user or key. */
  | { readonly kind: "missing" }
  /** The subject has `LIMITS_PER_SUBJECT_MAX` limits. */
  | { readonly kind: "full" }

/** What is to be changed; what is absent or undefined stays. */
export type LimitChange = {
  readonly [Member in "cap" | "onStoreFailure" | "enforcement" | "unbounded" | "thresholds" | "sliceTokens"]?:
    | Limit[Member]
    | undefined
}

export async function createLimit(
  sql: Sql,
  actor: Actor,
  subject: LimitSubject,
  wanted: NewLimit,
): Promise<CreatedLimit> {
  return sql.begin(async (transaction): Promise<CreatedLimit> => {
    // First of all, so that two that would be the twentieth wait for one another.
    await raiseDirectoryVersion(transaction)
    if (!(await isSubject(transaction, subject))) return { kind: "missing" }
    const row = await addLimit(transaction, actor, subject, wanted)
    return row === null ? { kind: "full" } : { kind: "created", row }
  })
}

/** The limit and its audit row, inside a transaction that has raised the directory's version; null: the subject is full. */
export async function addLimit(
  transaction: Transaction,
  actor: Actor,
  subject: LimitSubject,
  wanted: NewLimit,
): Promise<LimitRow | null> {
  const [counted] = await transaction<{ count: number }[]>`
    SELECT count(*)::int AS count FROM limits WHERE scope = ${subject.scope} AND subject = ${subject.subject}`
  if ((counted?.count ?? 0) >= LIMITS_PER_SUBJECT_MAX) return null
  const row = await insertLimit(transaction, subject, wanted)
  // What ended before counts on a budget; the next look at the directory adds it up.
  const isBudget = wanted.kind !== "concurrency" && ratePeriodMs(wanted.window) === null
  if (isBudget) await transaction`UPDATE limits SET seeded_version = NULL WHERE id = ${row.id}`
  await audit(transaction, actor, "limit.create", null, row)
  return row
}

/** The row alone, inside a transaction of the caller's that writes its own audit row. */
export async function insertLimit(
  transaction: Transaction,
  { organizationId, scope, subject, each = "", filter = null }: LimitSubject,
  wanted: NewLimit,
): Promise<LimitRow> {
  const limit = { ...LIMIT_DEFAULTS, ...wanted }
  const filterBy = (by: LimitFilter["by"]) => (filter?.by === by ? filter.value : "")
  const [row] = await transaction<LimitRow[]>`
    INSERT INTO limits (id, organization_id, scope, subject, each, kind, "window", cap, time_zone, anchor_day,
                        on_store_failure, enforcement, unbounded, thresholds, filter_tool, filter_tag, filter_model,
                        filter_endpoint, slice_tokens)
    VALUES (${namedId("lim")}, ${organizationId || null}, ${scope}, ${subject}, ${each}, ${limit.kind}, ${limit.window},
            ${limit.cap.toString()}, ${limit.timeZone}, ${limit.anchorDay}, ${limit.onStoreFailure},
            ${limit.enforcement}, ${limit.unbounded}, ${[...limit.thresholds]}::int[], ${filterBy("tool")},
            ${filterBy("tag")}, ${filterBy("model")}, ${filterBy("endpoint")}, ${limit.sliceTokens})
    RETURNING ${limitColumns(transaction)}`
  if (row === undefined) throw new Error("An inserted limit returned no row.")
  return row
}

/** Changes what is given, and nothing of what has been counted. Null where there is no such limit. */
export async function changeLimit(sql: Sql, actor: Actor, id: string, change: LimitChange): Promise<LimitRow | null> {
  return sql.begin(async (transaction): Promise<LimitRow | null> => {
    await raiseDirectoryVersion(transaction)
    const before = await readLimit(transaction, id)
    return before === null ? null : putLimitChange(transaction, actor, before, change)
  })
}

/** The change and its audit row, inside a transaction that has raised the directory's version. */
export async function putLimitChange(
  transaction: Transaction,
  actor: Actor,
  before: LimitRow,
  change: LimitChange,
): Promise<LimitRow> {
  const [after] = await transaction<LimitRow[]>`
    UPDATE limits SET cap = ${change.cap?.toString() ?? before.cap},
                      on_store_failure = ${change.onStoreFailure ?? before.on_store_failure},
                      enforcement = ${change.enforcement ?? before.enforcement},
                      unbounded = ${change.unbounded ?? before.unbounded},
                      thresholds = ${[...(change.thresholds ?? before.thresholds)]}::int[],
                      slice_tokens = ${change.sliceTokens === undefined ? before.slice_tokens : change.sliceTokens}
    WHERE id = ${before.id} RETURNING ${limitColumns(transaction)}`
  if (after === undefined) throw new Error(`The limit ${before.id} went while its change held the directory's lock.`)
  await audit(transaction, actor, "limit.change", before, after)
  return after
}

export type RaisedLimit =
  | { readonly kind: "raised"; readonly row: LimitRow }
  | { readonly kind: "missing" }
  /** The limit's own cap, in its unit, is not below the one that was asked for. */
  | { readonly kind: "not_larger"; readonly cap: bigint }

/** Raises the cap until an instant, in the place of a raise that is in force. Nothing has to end it. */
export async function raiseLimit(
  sql: Sql,
  actor: Actor,
  id: string,
  { cap, until }: { readonly cap: bigint; readonly until: Date },
): Promise<RaisedLimit> {
  return sql.begin(async (transaction): Promise<RaisedLimit> => {
    await raiseDirectoryVersion(transaction)
    const before = await readLimit(transaction, id)
    if (before === null) return { kind: "missing" }
    if (cap <= BigInt(before.cap)) return { kind: "not_larger", cap: BigInt(before.cap) }
    const [after] = await transaction<LimitRow[]>`
      UPDATE limits SET raised_cap = ${cap.toString()}, raised_until = ${until}
      WHERE id = ${id} RETURNING ${limitColumns(transaction)}`
    if (after === undefined) throw new Error(`The limit ${id} went while its raise held the directory's lock.`)
    await audit(transaction, actor, "limit.raise", before, after)
    return { kind: "raised", row: after }
  })
}

export type EndedRaise =
  | { readonly kind: "ended"; readonly row: LimitRow }
  | { readonly kind: "missing" }
  | { readonly kind: "not_raised" }

/** Ends a raise that is in force before its time. What was used under it stays used. */
export async function endRaise(sql: Sql, actor: Actor, id: string): Promise<EndedRaise> {
  return sql.begin(async (transaction): Promise<EndedRaise> => {
    await raiseDirectoryVersion(transaction)
    const before = await readLimit(transaction, id)
    if (before === null) return { kind: "missing" }
    if (before.raised_cap === null) return { kind: "not_raised" }
    const [after] = await transaction<LimitRow[]>`
      UPDATE limits SET raised_cap = NULL, raised_until = NULL
      WHERE id = ${id} RETURNING ${limitColumns(transaction)}`
    if (after === undefined) throw new Error(`The limit ${id} went while its raise ended under the directory's lock.`)
    await audit(transaction, actor, "limit.raise_end", before, after)
    return { kind: "ended", row: after }
  })
}

/** The limit as it stood; null where there is no such limit. Calls that hold it go on and settle. */
export async function deleteLimit(sql: Sql, actor: Actor, id: string): Promise<LimitRow | null> {
  return sql.begin(async (transaction): Promise<LimitRow | null> => {
    await raiseDirectoryVersion(transaction)
    return dropLimit(transaction, actor, id)
  })
}

/** The same inside a transaction that has raised the directory's version. */
export async function dropLimit(transaction: Transaction, actor: Actor, id: string): Promise<LimitRow | null> {
  const [before] = await transaction<LimitRow[]>`
    DELETE FROM limits WHERE id = ${id} RETURNING ${limitColumns(transaction)}`
  if (before === undefined) return null
  await audit(transaction, actor, "limit.delete", before, null)
  return before
}

/** Calls that a limit refused, and those that it would have refused while it was a shadow limit, in all its windows. */
export type LimitRefusals = { readonly refused: number; readonly shadowed: number }

/** Of each of these limits, as far as processes have written it down; those without any are absent. */
export async function limitRefusals(sql: Sql, ids: readonly string[]): Promise<ReadonlyMap<string, LimitRefusals>> {
  const rows = await sql<{ limit_id: string; refused: string; shadowed: string }[]>`
    SELECT limit_id, sum(refused)::text AS refused, sum(shadowed)::text AS shadowed
    FROM limit_refusals WHERE limit_id = ANY (${[...ids]}::text[]) GROUP BY limit_id`
  return new Map(
    rows.map(({ limit_id, refused, shadowed }) => [limit_id, { refused: Number(refused), shadowed: Number(shadowed) }]),
  )
}

/** Those of these limits that there are, by id. */
export async function readLimitsById(
  sql: Sql | Transaction,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Limit>> {
  const rows = await sql<LimitRow[]>`SELECT ${limitColumns(sql)} FROM limits WHERE id = ANY(${[...ids]}::text[])`
  return new Map(rows.map((row) => [row.id, limitFrom(row)]))
}

export async function readLimit(sql: Sql | Transaction, id: string): Promise<LimitRow | null> {
  const [row] = await sql<LimitRow[]>`SELECT ${limitColumns(sql)} FROM limits WHERE id = ${id}`
  return row ?? null
}

/** Where the subject lies, for who may touch its limits: provider accounts are the installation's. Null: there is no such thing. */
export async function limitTarget(
  sql: Sql,
  { scope, subject }: Pick<Limit, "scope" | "subject">,
): Promise<Target | null> {
  if (scope === "provider_account") return { scope: "installation" }
  const table = SUBJECT_TABLES[scope]
  const projectId = { organization: sql`NULL`, project: sql`id`, user: sql`NULL`, key: sql`project_id` }[scope]
  const organizationId = scope === "organization" ? sql`id` : sql`organization_id`
  const [row] = await sql<{ organization_id: string; project_id: string | null }[]>`
    SELECT ${organizationId} AS organization_id, ${projectId} AS project_id FROM ${sql(table)} WHERE id = ${subject}`
  if (row === undefined) return null
  const { organization_id, project_id } = row
  return project_id === null
    ? { scope: "organization", organizationId: organization_id }
    : { scope: "project", organizationId: organization_id, projectId: project_id }
}

/** A page of limits in order of their ids, at most `max`, after the id `after` ('' for the first page). */
export async function listLimits(
  sql: Sql,
  question: {
    readonly visibility: Visibility
    /** Null: limits of every scope. */
    readonly of: Pick<Limit, "scope" | "subject"> | null
    readonly after: string
    readonly max: number
  },
): Promise<readonly LimitRow[]> {
  const { visibility, of, after, max } = question
  const inProjects = (ids: string[]) => sql`(
    (scope = 'project' AND subject = ANY (${ids}::text[])) OR
    (scope = 'key' AND subject IN (SELECT k.id FROM virtual_keys k WHERE k.project_id = ANY (${ids}::text[]))))`
  return sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, inProjects)}
      ${of === null ? sql`` : sql`AND scope = ${of.scope} AND subject = ${of.subject}`}
    ORDER BY id LIMIT ${max}`
}

async function isSubject(transaction: Transaction, { organizationId, scope, subject }: LimitSubject): Promise<boolean> {
  if (scope === "organization") return subject === organizationId
  // Which accounts there are the configuration says as well: whoever asks for the limit has looked.
  if (scope === "provider_account") return organizationId === ""
  const rows = await transaction`
    SELECT 1 FROM ${transaction(SUBJECT_TABLES[scope])} WHERE organization_id = ${organizationId} AND id = ${subject}`
  return rows.length === 1
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: LimitRow | null,
  after: LimitRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no limit.`)
  await writeAudit(transaction, actor, { organizationId: row.organization_id, action, subject: row.id, before, after })
}
