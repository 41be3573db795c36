/** The dashboard's files: how they are served, and that the server needs none of them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { OpenAPIHono } from "@hono/zod-openapi"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { AdminEnv } from "../../src/admin/admin-app.ts"
import { dashboardRoutes } from "../../src/admin/dashboard-routes.ts"
import { ApiError } from "../../src/platform/error-table.ts"

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-bundle-"))

function appOver(bundle: string): OpenAPIHono<AdminEnv> {
  const app = new OpenAPIHono<AdminEnv>()
  app.onError((error, context) => {
    if (error instanceof ApiError) return context.json(error.toJson(), error.status)
    throw error
  })
  dashboardRoutes(app, bundle)
  return app
}

beforeAll(() => {
  mkdirSync(path.join(folder, "assets"))
  writeFileSync(path.join(folder, "index.html"), "<title>the page</title>")
  writeFileSync(path.join(folder, "assets/index-AbC.js"), "plain")
  writeFileSync(path.join(folder, "assets/index-AbC.js.br"), "as brotli")
  writeFileSync(path.join(folder, ".built-from"), "digest")
  writeFileSync(path.join(folder, "..", "outside.js"), "outside")
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  rmSync(path.join(folder, "..", "outside.js"), { force: true })
})

describe("a server without a bundle", () => {
  test("says at /dashboard how to build one, and that everything is in the API too", async () => {
    const answer = await appOver(path.join(folder, "nowhere")).request("/dashboard/")
    expect(answer.status).toBe(503)
    expect(answer.headers.get("content-type")).toContain("text/html")
    const page = await answer.text()
    expect(page).toContain("npm run dashboard:build")
    expect(page).toContain("/docs")
  })
})

describe("the bundle", () => {
  test("an asset that is not there is answered 404, not with the page", async () => {
    const answer = await appOver(folder).request("/dashboard/assets/index-Old.js")
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ error: { code: "route_not_found" } })
  })

  test("nothing outside of the bundle, and none of its dot files, can be asked for", async () => {
    const app = appOver(folder)
    for (const asked of [
      "/dashboard/../outside.js",
      "/dashboard/%2e%2e/outside.js",
      "/dashboard/assets/..%2f..%2foutside.js",
    ]) {
      const text = await (await app.request(asked)).text()
      expect(text, asked).not.toContain("outside\n")
      expect(text, asked).not.toBe("outside")
    }
    expect(await (await app.request("/dashboard/.built-from")).text()).not.toContain("digest")
  })

  test("a deep link is answered with the page, which is asked for anew each time", async () => {
    for (const asked of ["/dashboard", "/dashboard/", "/dashboard/keys/key_1", "/dashboard/usage?range=7d"]) {
      const answer = await appOver(folder).request(asked)
      expect(answer.status, asked).toBe(200)
      expect(await answer.text(), asked).toContain("the page")
      expect(answer.headers.get("cache-control"), asked).toBe("no-cache")
    }
  })

  test("files named by their content are kept for ever, and come compressed where the browser takes it", async () => {
    const app = appOver(folder)
    const plain = await app.request("/dashboard/assets/index-AbC.js")
    expect(await plain.text()).toBe("plain")
    expect(plain.headers.get("cache-control")).toContain("immutable")
    const small = await app.request("/dashboard/assets/index-AbC.js", { headers: { "accept-encoding": "gzip, br" } })
    expect(await small.text()).toBe("as brotli")
    expect(small.headers.get("content-encoding")).toBe("br")
    expect(small.headers.get("vary")).toBe("accept-encoding")
  })

  test("the page may load nothing from elsewhere and run nothing that stands in it", async () => {
    const { headers } = await appOver(folder).request("/dashboard/")
    const policy = headers.get("content-security-policy") ?? ""
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
    expect(headers.get("x-content-type-options")).toBe("nosniff")
  })

  test("the root leads to it", async () => {
    const answer = await appOver(folder).request("/")
    expect(answer.status).toBe(302)
    expect(answer.headers.get("location")).toBe("/dashboard/")
  })
})
