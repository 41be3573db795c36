/** A limit with what it stands on, as the admin API shows it, and the limit that a route's path names. */
import { z } from "@hono/zod-openapi"
import type { Limit } from "../identity/limit.ts"
import { type LimitRefusals, limitRefusals, limitTarget, readLimit } from "../identity/limit-registry.ts"
import { type LimitRow, limitFrom } from "../identity/limit-row.ts"
import type { Clock } from "../platform/clock.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import type { Access } from "./access.ts"
import { missingThing } from "./answers.ts"
import { eachInput, filterInputs, memberOf, scopeIds, shownFilter, shownSubject } from "./limit-scope.ts"
import { limitOutput, readCap, shownLimit } from "./limit-shape.ts"
import { type LiveLimits, liveStandings, shownLive, standingMembers } from "./live-limits.ts"

export const scopedLimit = limitOutput
  .extend({
    organization_id: z.string().openapi({ description: "'' for a limit on a provider account." }),
    scope: z.object({ ...scopeIds, each: eachInput, ...filterInputs }),
    refusals: z.number().openapi({ description: "Calls that were refused because of the limit so far." }),
    shadow_refusals: z
      .number()
      .nullable()
      .openapi({ description: "How often a shadow limit would have refused so far; null: it is none." }),
    seeded: z
      .enum(["exact", "as_recorded"])
      .nullable()
      .openapi({
        description:
          "A budget starts from what the ledger has for its window: exactly, or as far as records name a tool or tag and " +
          "count calls; null: it did not have to, or that is being added up.",
      }),
    created_at: z.string(),
  })
  .openapi("Limit")

export const standingLimit = scopedLimit.extend(standingMembers).openapi("StandingLimit")

/** The limits with where they stand at this moment; what counts several apart says null. */
export async function withStandings(
  options: LiveLimits & { readonly clock: Clock },
  rows: readonly LimitRow[],
): Promise<z.infer<typeof standingLimit>[]> {
  const shown = await shownAll(options.sql, rows)
  const standings = await liveStandings(options, rows.map(limitFrom), options.clock.nowMs())
  return shown.flatMap((limit, index) => {
    const standing = standings[index]
    return standing === undefined ? [] : [{ ...limit, ...shownLive(standing, options.counters) }]
  })
}

/** The limit, where the caller may do what the route does to it; else 404 or 403. */
export async function permittedLimit(sql: Sql, access: Access, id: string): Promise<LimitRow> {
  const row = (await readLimit(sql, id)) ?? missingLimit(id)()
  access.on((await limitTarget(sql, row)) ?? missingLimit(id)(), missingLimit(id))
  return row
}

export function missingLimit(id: string): () => never {
  return missingThing("limit", id)
}

/** The cap in the limit's unit; 400 where it is none. */
export function requiredCap(kind: Limit["kind"], given: string | number): bigint {
  const cap = readCap(kind, given)
  if (typeof cap === "string") throw new ApiError("invalid_request", `cap: ${cap}.`, { param: "cap" })
  return cap
}

export async function shownOne(sql: Sql, row: LimitRow): Promise<z.infer<typeof scopedLimit>> {
  return shown(row, await limitRefusals(sql, [row.id]))
}

async function shownAll(sql: Sql, rows: readonly LimitRow[]): Promise<z.infer<typeof scopedLimit>[]> {
  const refusals = await limitRefusals(
    sql,
    rows.map(({ id }) => id),
  )
  return rows.map((row) => shown(row, refusals))
}

function shown(row: LimitRow, refusals: ReadonlyMap<string, LimitRefusals>): z.infer<typeof scopedLimit> {
  const { organization_id, scope, each, created_at } = row
  return {
    ...shownLimit(row),
    organization_id,
    scope: {
      [memberOf(scope)]: shownSubject(row),
      ...(scope === "provider_account" || each !== "" ? { each } : {}),
      ...shownFilter(row),
    },
    refusals: refusals.get(row.id)?.refused ?? 0,
    shadow_refusals: row.enforcement === "shadow" ? (refusals.get(row.id)?.shadowed ?? 0) : null,
    seeded: row.seed === "" ? null : row.seed,
    created_at: created_at.toISOString(),
  }
}
