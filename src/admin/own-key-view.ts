/** `GET /v1/key`: the virtual key that asks, what it may use, and where each limit on its calls stands. */
import { createRoute, z } from "@hono/zod-openapi"
import type { LimitFilter } from "../identity/limit.ts"
import { ApiError } from "../platform/error-table.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers } from "./answers.ts"
import { shownCap } from "./limit-shape.ts"
import { type Counters, type LiveStanding, liveStandings, shownLive, standingMembers } from "./live-limits.ts"
import { holderOf } from "./own-key-routes.ts"

const limitOutput = z.object({
  id: z.string(),
  scope: z.string().openapi({ description: "What the limit is on: several keys may share it." }),
  kind: z.string(),
  window: z.string(),
  days: z.number().nullable().openapi({ description: "Of a rolling window; null elsewhere." }),
  time_zone: z.string(),
  enforcement: z.enum(["hard", "soft"]).openapi({ description: "hard refuses, soft warns." }),
  tool: z.string().nullable().openapi({ description: "The limit counts calls of this tool alone; null: of all." }),
  tag: z.string().nullable().openapi({ description: "The limit counts calls with this tag alone; null: all." }),
  model: z.string().nullable().openapi({ description: "The limit counts calls to this model alone; null: to all." }),
  endpoint: z.string().nullable().openapi({ description: "The limit counts this endpoint's calls alone; null: all." }),
  cap: z.string().openapi({ description: "The cap in force, that of a raise included." }),
  used: z.string().nullable().openapi({ description: "What is settled and held together; null: not known." }),
  ...standingMembers,
})
const keyOutput = z
  .object({
    id: z.string(),
    name: z.string(),
    organization_id: z.string(),
    project_id: z.string(),
    user_id: z.string().nullable(),
    allowed_models: z.array(z.string()).nullable(),
    allowed_endpoints: z.array(z.string()).nullable(),
    expires_at: z.string().nullable(),
    limits: z.array(limitOutput),
  })
  .openapi("PresentedKey")

export function ownKeyView(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/v1/key",
    security: [{ virtualKey: [] }],
    responses: answers(200, "Your key, and where its limits stand.", keyOutput),
  })
  app.openapi(route, async (context) => {
    const { holder } = await holderOf(options, context)
    if (holder.kind !== "key") {
      const message = "You are logged in as a user, who may have several keys: they are at /v1/keys."
      throw new ApiError("invalid_request", message)
    }
    const { id, name, organizationId, projectId, userId, allowedModels, allowedEndpoints, expiresAtMs, limits } =
      holder.key
    // A shadow limit says nothing to callers.
    const told = limits.filter(({ enforcement }) => enforcement !== "shadow")
    const standings = await liveStandings(options, told, options.clock.nowMs())
    const body = {
      id,
      name,
      organization_id: organizationId,
      project_id: projectId,
      user_id: userId === "" ? null : userId,
      allowed_models: allowedModels === null ? null : [...allowedModels],
      allowed_endpoints: allowedEndpoints === null ? null : [...allowedEndpoints],
      expires_at: instant(expiresAtMs),
      limits: standings.map((standing) => shownStanding(standing, options.counters)),
    }
    return context.json(body, 200)
  })
}

function shownStanding(standing: LiveStanding, counters: Counters): z.infer<typeof limitOutput> {
  const { limit, settled, held } = standing
  const { id, scope, kind, window, timeZone, anchorDay, cap, enforcement, filter } = limit
  const filterBy = (by: LimitFilter["by"]) => (filter?.by === by ? filter.value : null)
  const amount = (value: bigint | null) => (value === null ? null : shownCap(kind, value))
  return {
    id,
    scope,
    kind,
    window,
    days: window === "rolling" ? anchorDay : null,
    time_zone: timeZone,
    enforcement: enforcement === "soft" ? "soft" : "hard",
    tool: filterBy("tool"),
    tag: filterBy("tag"),
    model: filterBy("model"),
    endpoint: filterBy("endpoint"),
    cap: shownCap(kind, cap),
    used: amount(settled === null ? null : settled + (held ?? 0n)),
    ...shownLive(standing, counters),
  }
}

function instant(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
