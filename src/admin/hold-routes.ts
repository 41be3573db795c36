/**
 * Live holds: what calls that run now have taken of limits, who renews each, and until when. Read from the store that
 * counts, so that a hold of a process that died is seen until its lease ends.
 */
import { createRoute, z } from "@hono/zod-openapi"
import type { Hold } from "../admission/limit-store.ts"
import { readOwner } from "../admission/limit-store.ts"
import { accountCounters, accountSubject } from "../identity/account-limit.ts"
import { keyProjects } from "../identity/key-registry.ts"
import { organizationIdsIn } from "../identity/organization-registry.ts"
import type { Visibility } from "../identity/role.ts"
import { ApiError } from "../platform/error-table.ts"
import { type Access, permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idInput, missingThing, PAGE_MAX } from "./answers.ts"
import { providerAccount } from "./limit-scope.ts"
import { shownCap } from "./limit-shape.ts"

/** Holds looked at of one organization; more run at a time only where something is stuck. */
const LOOKED_AT_MAX = 50_000

const holdsQuery = z.strictObject({
  organization_id: idInput.optional(),
  provider_account: providerAccount,
  key_id: idInput.optional(),
  limit_id: idInput.optional(),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
})

type HoldsQuery = z.output<typeof holdsQuery>

const holdOutput = z
  .object({
    id: z
      .string()
      .openapi({ description: "That of the call's record; of a provider account's hold but for one digit." }),
    organization_id: z.string().openapi({ description: "'' of a hold on a provider account." }),
    key_id: z.string().nullable(),
    owner: z.string().openapi({ description: "The process that renews it." }),
    held_since: z.string(),
    age_seconds: z.number(),
    lease_until: z.string().openapi({ description: "When it expires unless it is renewed." }),
    charges: z.array(
      z.object({ limit_id: z.string(), subject: z.string(), kind: z.string(), window: z.string(), amount: z.string() }),
    ),
  })
  .openapi("Hold")
const holdsOutput = z.object({
  data: z.array(holdOutput),
  total: z.number().openapi({ description: "How many there are; `data` has the oldest." }),
})

export function holdRoutes(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/holds",
    middleware: permit("limits:read"),
    request: { query: holdsQuery },
    responses: answers(200, "What running calls hold of limits now, the oldest first.", holdsOutput),
  })
  app.openapi(route, async (context) => {
    const query = context.req.valid("query")
    const places = await placesMeant(options, context.get("access"), query)
    const holds = (await readHolds(options, places)).filter((hold) => isMeant(hold, query))
    const seen = await visibleHolds(options, holds, context.get("access").visible())
    seen.sort((left, right) => left.sinceMs - right.sinceMs)
    const nowMs = options.clock.nowMs()
    const data = seen.slice(0, query.limit).map((hold) => shownHold(hold, nowMs))
    return context.json({ data, total: seen.length }, 200)
  })
}

/** Where the holds stand that are asked for, as far as the caller may see any there. */
async function placesMeant({ sql }: AdminOptions, access: Access, query: HoldsQuery): Promise<readonly string[]> {
  const { organization_id: wanted, provider_account: account } = query
  if (account !== undefined) {
    access.onInstallation()
    const slash = account.indexOf("/")
    return [accountCounters(accountSubject(account.slice(0, slash), account.slice(slash + 1)))]
  }
  const ids = await organizationIdsIn(sql, access.visible())
  if (wanted === undefined) return ids
  return ids.includes(wanted) ? [wanted] : missingThing("organization", wanted, "organization_id")()
}

async function readHolds({ counters, log }: AdminOptions, places: readonly string[]): Promise<Hold[]> {
  const found: Hold[] = []
  try {
    for (const place of places) found.push(...(await counters.readings.holds(LOOKED_AT_MAX, place)))
    return found
  } catch (cause) {
    log.warn({ err: cause }, "holds cannot be read")
    const message = "The store that counts limits does not answer. Try again, and check it if this lasts."
    throw new ApiError("quota_store_unavailable", message, { headers: [["retry-after", "1"]], cause })
  }
}

function isMeant({ owner, charges }: Hold, { key_id: keyId, limit_id: limitId }: HoldsQuery): boolean {
  if (keyId !== undefined && readOwner(owner).keyId !== keyId) return false
  return limitId === undefined || charges.some(({ limit }) => limit.id === limitId)
}

/** Whoever sees some projects of an organization alone sees the holds of their keys. */
async function visibleHolds({ sql }: AdminOptions, holds: Hold[], visibility: Visibility): Promise<Hold[]> {
  if (visibility.kind === "all") return holds
  const { organizationIds, projectIds } = visibility
  const projects = await keyProjects(sql, [...new Set(holds.map(({ owner }) => readOwner(owner).keyId))])
  return holds.filter(({ owner, charges }) => {
    if (organizationIds.includes(charges[0]?.limit.organizationId ?? "")) return true
    return projectIds.includes(projects.get(readOwner(owner).keyId) ?? "")
  })
}

function shownHold({ id, owner, sinceMs, leaseUntilMs, charges }: Hold, nowMs: number): z.infer<typeof holdOutput> {
  const { processName, keyId } = readOwner(owner)
  const first = charges[0]?.limit
  return {
    id,
    organization_id: first === undefined || first.scope === "provider_account" ? "" : first.organizationId,
    key_id: keyId === "" ? null : keyId,
    owner: processName,
    held_since: new Date(sinceMs).toISOString(),
    age_seconds: Math.max(0, Math.round((nowMs - sinceMs) / 1_000)),
    lease_until: new Date(leaseUntilMs).toISOString(),
    charges: charges.map(({ limit, window, amount }) => {
      const { id: limitId, subject, kind } = limit
      return { limit_id: limitId, subject, kind, window, amount: shownCap(kind, amount) }
    }),
  }
}
