/** What the routes of alerts share: what they are given, whose a row is, and how a scope is written and shown. */
import { z } from "@hono/zod-openapi"
import { readChannel } from "../alerts/channel-rows.ts"
import type { DeliveryWorker } from "../alerts/delivery-worker.ts"
import type { Target } from "../identity/role.ts"
import type { Sql } from "../platform/postgres.ts"
import type { Access } from "./access.ts"
import { idInput, missingThing } from "./answers.ts"
import { grantOver, type grantScope, shownScope } from "./grant-shape.ts"

/** What the admin API is given of alerts, beside the database. */
export type AlertOptions = {
  readonly worker: DeliveryWorker
  /** Where the dashboard is, for links; null where nobody said. */
  readonly baseUrl: string | null
  /** Whether channels may have http addresses and reach private ones. */
  readonly allowsPrivate: boolean
}

/** Whose a channel or a digest is. */
export const organizationScope = z
  .strictObject({ organization_id: idInput.optional() })
  .openapi("OrganizationScope", { description: "Whose it is: an organization's, or {}: the installation's." })

/** Where a row lies; '' is none. */
export function targetOfRow(row: { readonly organization_id: string; readonly project_id?: string }): Target {
  const { organization_id: organizationId, project_id: projectId = "" } = row
  if (organizationId === "") return { scope: "installation" }
  return projectId === "" ? { scope: "organization", organizationId } : { scope: "project", organizationId, projectId }
}

export function shownTarget(target: Target): z.infer<typeof grantScope> {
  return shownScope(grantOver("viewer", target))
}

/** Passes where the caller may do this over what a new thing is to be over. */
export function requireScope(access: Access, target: Target): void {
  if (target.scope === "installation") access.onInstallation()
  else access.on(target, missingThing(target.scope, grantOver("viewer", target).scopeId, `scope.${target.scope}_id`))
}

const CHANNELS_MAX = 50

export const channelIdsInput = z.array(idInput).max(CHANNELS_MAX).nullable().openapi({
  description: "null: all channels of the organization concerned, or the installation's where it has none.",
})

/** What belongs to an organization tells its own channels; what is the installation's whichever there are. */
export async function requireChannels(sql: Sql, organizationId: string, ids: readonly string[] | null): Promise<void> {
  for (const id of ids ?? []) {
    const channel = await readChannel(sql, id)
    const isReached = channel !== null && (organizationId === "" || channel.organization_id === organizationId)
    if (!isReached) missingThing("alert channel", id, "channel_ids")()
  }
}
