/** Mails of an alert and of digests, as a real mail server took them, in a browser as wide as a phone and as a window. */
import { mkdirSync } from "node:fs"
import path from "node:path"
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { bringHistory } from "../demo/history.ts"
import { makePeople } from "../demo/people.ts"
import { mailPart } from "../support/mail-parts.ts"
import { type SmtpSink, startSmtpSink } from "../support/smtp-sink.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"
import { openBrowser } from "./browser.ts"
import { THEMES } from "./pages.ts"

const FOLDER = path.join(import.meta.dirname, "../../docs/screenshots")
const WIDTHS = [390, 700] as const
const ARRIVES_MS = 60_000

let smtp: SmtpSink
let app: TestApp
let browser: Browser
let mails: { readonly name: string; readonly html: string }[]

beforeAll(async () => {
  smtp = await startSmtpSink({ user: "alerts", password: "of-the-pictures" })
  app = await startTestApp(`
sandbox: true
alerts:
  smtp_url: smtp://alerts:of-the-pictures@127.0.0.1:${smtp.port}
  from: Tallygate <alerts@example.com>
  base_url: https://tallygate.example
`)
  const admin: TestApp["admin"] = (method, route, body) => app.admin(method, `/admin/v1/${route}`, body)
  const keys = await makePeople((method, route, body) => app.admin(method, route, body))
  const sql = openPostgres(app.databaseUrl, { max: 2, applicationName: "tallygate-pictures" })
  await bringHistory(sql, { keys, nowMs: Date.now(), calls: 9_000 })
  await sql`
    INSERT INTO refusal_counts (organization_id, bucket, key_id, code, refusals)
    SELECT organization_id, date_trunc('hour', now()) - make_interval(days => day), id, code, 40 - 4 * day
    FROM virtual_keys, generate_series(1, 9) AS day, (VALUES ('budget_exceeded'), ('rate_limit_exceeded')) AS c (code)`
  await sql.end({ timeout: 5 })
  const organization = (await app.admin("GET", "/admin/v1/keys?limit=1")).body.data[0]?.organization_id ?? ""
  const scope = { organization_id: organization }
  await admin("POST", "alert-channels", { scope, kind: "email", name: "m", recipients: ["ada@example.com"] })
  const arrived = (name: string, said: string) =>
    until(async () => {
      const found = smtp.received.map(({ raw }) => mailPart(raw, "text/html")).find((html) => html.includes(said))
      return found === undefined ? undefined : { name, html: found }
    }, ARRIVES_MS)
  // The story has used up most of some budgets, and whoever watches them says so.
  mails = [await arrived("mail-alert", "of its limit")]
  for (const period of ["weekly", "monthly"] as const) {
    const name = `${period} for finance`
    const digest = await admin("POST", "digests", { scope, name, period })
    await admin("POST", `digests/${digest.body.id}/send`)
    mails.push(await arrived(`mail-digest-${period}`, name))
  }
  browser = await openBrowser()
  mkdirSync(FOLDER, { recursive: true })
})
afterAll(async () => {
  await browser?.close()
  await app?.close()
  await smtp?.close()
})

test.each(THEMES.flatMap((theme) => WIDTHS.map((width) => ({ theme, width }))))(
  "$width px, $theme: nothing is fetched, and nothing is wider than the window",
  async ({ theme, width }) => {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: theme })
    const page = await context.newPage()
    const fetched: string[] = []
    page.on("request", (request) => void fetched.push(request.url()))
    for (const { name, html } of mails) {
      await page.setContent(html)
      expect(await page.evaluate("document.documentElement.scrollWidth"), name).toBe(width)
      await page.screenshot({ path: path.join(FOLDER, `${name}-${width}-${theme}.png`), fullPage: true })
    }
    expect(fetched.filter((url) => !url.startsWith("about:"))).toEqual([])
    await context.close()
  },
)
