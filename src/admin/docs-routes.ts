/** The admin API as a page to browse, at `/docs`. */
import { randomBytes } from "node:crypto"
import type { AdminApp } from "./admin-app.ts"
import type { ApiDescription } from "./api-description.ts"
import { docsPage } from "./docs-page.ts"
import { openApiDocument } from "./openapi.ts"

export function docsRoutes(app: AdminApp, version: string): void {
  app.get("/docs", (context) => {
    const nonce = randomBytes(16).toString("base64")
    context.header("content-security-policy", `default-src 'none'; style-src 'nonce-${nonce}'; frame-ancestors 'none'`)
    // The library's types are wider than what it makes of our routes.
    const description = app.getOpenAPI31Document(openApiDocument(version)) as unknown as ApiDescription
    return context.html(docsPage(description, nonce))
  })
}
