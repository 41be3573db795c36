/** The description of the admin API at `/openapi.json`: what the routes declare, how to authenticate, in which order. */
import type { AdminApp } from "./admin-app.ts"

const DESCRIPTION =
  "The control plane of Tallygate. Send an admin key as `Authorization: Bearer tga_…`. Money is a decimal string in " +
  "dollars, instants are ISO 8601, ids are opaque. Lists are pages of at most 1,000 rows: ask again with `after` set to " +
  "`next` until it is null. Errors have the OpenAI shape; `error.code` is stable, its sentence may change. What lies " +
  "outside of your role's scope is answered 404, what your role does not include 403."

export function describeApi(app: AdminApp, version: string): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "adminKey", { type: "http", scheme: "bearer" })
  app.doc31("/openapi.json", openApiDocument(version))
}

/** The document without what the routes add. */
export function openApiDocument(version: string) {
  return {
    openapi: "3.1.0",
    info: { title: "Tallygate admin API", version, description: DESCRIPTION },
    security: [{ adminKey: [] }],
  }
}
