/** `npm run screenshots`: the pictures in docs/screenshots, each page as a whole, on a desktop and on phones, in both themes. */
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { startTraffic } from "../demo/traffic.ts"
import { ADMIN_KEY } from "../support/test-app.ts"
import { settled } from "./axe.ts"
import { logInWith, openPage } from "./browser.ts"
import { type ShownIds, shownPages, THEMES, WIDTHS } from "./pages.ts"
import { openStage, type Stage } from "./stage.ts"

const FOLDER = path.join(import.meta.dirname, "../../docs/screenshots")
/** A whole page is made into one picture of at most this height. */
const HEIGHT_MAX = 4_000
/** What phones show: the pages that are read on the way. */
const ON_PHONES = new Set([
  ...["overview", "usage", "create-key", "my-usage", "request", "prices", "reprice", "statement"],
  ...["budgets", "budget", "create-budget", "alerts", "alert-history", "alert-deliveries"],
])
const ON_SMALL_PHONES = new Set(["overview", "usage", "budgets", "alert-history"])

let stage: Stage
let stopTraffic: () => void
let ids: ShownIds

beforeAll(async () => {
  stage = await openStage(9_000)
  await stage.tellAlerts()
  ids = await stage.shownIds()
  stopTraffic = startTraffic(stage.app.url, stage.keys, (error) => expect.unreachable(String(error)))
  mkdirSync(FOLDER, { recursive: true })
  // Those of mails are made beside these.
  for (const name of readdirSync(FOLDER)) if (!name.startsWith("mail-")) rmSync(path.join(FOLDER, name))
})
afterAll(async () => {
  stopTraffic?.()
  await stage?.close()
})

test.each(
  THEMES.flatMap((theme) =>
    (["desktop", "phone", "small-phone"] as const).flatMap((width) =>
      (["admin", "own"] as const).map((realm) => ({ theme, width, realm })),
    ),
  ),
)("$realm, $width, $theme", async ({ theme, width, realm }) => {
  const { page, context } = await openPage(stage.browser, stage.app.url, { width: WIDTHS[width], theme })
  await logInWith(page, realm === "admin" ? { adminKey: ADMIN_KEY } : { virtualKey: stage.key("sup-prod-eu").key })
  // Colours are given at first sight: the models in the order of the overview.
  await page.goto(realm === "admin" ? "/dashboard/overview" : "/dashboard/my/usage")
  await settled(page)
  for (const { name, address } of shownPages(ids).filter((one) => one.realm === realm)) {
    if (width === "phone" && !ON_PHONES.has(name)) continue
    if (width === "small-phone" && !ON_SMALL_PHONES.has(name)) continue
    await page.setViewportSize({ width: WIDTHS[width], height: 900 })
    await page.goto(`/dashboard${address}`)
    await settled(page)
    const whole = await page.evaluate<number>("document.documentElement.scrollHeight")
    await page.setViewportSize({ width: WIDTHS[width], height: Math.min(Math.max(whole, 900), HEIGHT_MAX) })
    await settled(page)
    // Plots follow a new size a moment later.
    await page.waitForTimeout(600)
    await page.screenshot({ path: path.join(FOLDER, `${name}-${width}-${theme}.png`) })
  }
  await context.close()
})
