/**
 * The dashboard: static files of the built bundle. The page may load and call nothing but this server, and holds no
 * script or style within itself. Files named by their content are kept by browsers for ever, the page itself never; every
 * address below /dashboard that is no file is a page of the program. Without a bundle the server runs all the same.
 */
import { readFile } from "node:fs/promises"
import path from "node:path"
import type { Context } from "hono"
import { ApiError } from "../platform/error-table.ts"
import type { AdminApp, AdminEnv } from "./admin-app.ts"

const BUNDLE_FOLDER = path.join(import.meta.dirname, "../../.dashboard")
/** A file of the bundle, in its root or among its assets; no other path can be asked for. */
const FILE = /^(?:assets\/)?[\w-]+(?:\.[\w-]+)+$/
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
}
const COMPRESSED = [
  { encoding: "br", suffix: ".br" },
  { encoding: "gzip", suffix: ".gz" },
] as const
const POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
const SECURITY_HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
}
const FOR_EVER = "public, max-age=31536000, immutable"

/** `folder` holds the bundle; by default that of `npm run dashboard:build`. */
export function dashboardRoutes(app: AdminApp, folder: string = BUNDLE_FOLDER): void {
  app.get("/dashboard/*", async (context) => {
    const name = context.req.path.slice("/dashboard/".length)
    if (FILE.test(name)) {
      const answer = await fileAnswer(context, folder, name)
      if (answer !== null) return answer
      throw new ApiError("route_not_found", `The dashboard has no file ${name.slice(0, 100)}. Reload the page.`)
    }
    return (await fileAnswer(context, folder, "index.html")) ?? context.html(NOT_BUILT, 503, notBuiltHeaders())
  })
  app.get("/", (context) => context.redirect("/dashboard/"))
}

async function fileAnswer(context: Context<AdminEnv>, folder: string, name: string): Promise<Response | null> {
  const type = CONTENT_TYPES[path.extname(name)]
  if (type === undefined) return null
  const found = await readAccepted(path.join(folder, name), context.req.header("accept-encoding") ?? "")
  if (found === null) return null
  const headers = {
    ...SECURITY_HEADERS,
    "content-type": type,
    "cache-control": name.startsWith("assets/") ? FOR_EVER : "no-cache",
    vary: "accept-encoding",
    ...(found.encoding === null ? {} : { "content-encoding": found.encoding }),
  }
  return context.body(new Uint8Array(found.bytes), 200, headers)
}

type Found = { readonly bytes: Buffer; readonly encoding: string | null }

/** The file, compressed as the browser takes it and as the build left it; null where there is no such file. */
async function readAccepted(file: string, accepted: string): Promise<Found | null> {
  for (const { encoding, suffix } of COMPRESSED) {
    if (!accepted.includes(encoding)) continue
    const bytes = await readIfThere(file + suffix)
    if (bytes !== null) return { bytes, encoding }
  }
  const bytes = await readIfThere(file)
  return bytes === null ? null : { bytes, encoding: null }
}

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file)
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
    throw error
  }
}

function notBuiltHeaders(): Record<string, string> {
  return { ...SECURITY_HEADERS, "cache-control": "no-store", "retry-after": "5" }
}

const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tallygate</title>
<h1>The dashboard is not built yet</h1>
<p>Tallygate runs and records without it. In its folder, <code>npm run dashboard:build</code> builds the dashboard in a few
seconds; then reload this page. <code>npm start</code> does so by itself.</p>
<p>Everything that the dashboard shows stands in the <a href="/docs">admin API</a> too.</p>
</html>
`
