/** What the routes of alerts share: what they are given, whose a row is, and how a scope is written and shown. */
import type { z } from "@hono/zod-openapi"
import type { DeliveryWorker } from "../alerts/delivery-worker.ts"
import type { Target } from "../identity/role.ts"
import type { Access } from "./access.ts"
import { missingThing } from "./answers.ts"
import { grantOver, type grantScope, shownScope } from "./grant-shape.ts"

/** What the admin API is given of alerts, beside the database. */
export type AlertOptions = {
  readonly worker: DeliveryWorker
  /** Where the dashboard is, for links; null where nobody said. */
  readonly baseUrl: string | null
  /** Whether channels may have http addresses and reach private ones. */
  readonly allowsPrivate: boolean
}

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
