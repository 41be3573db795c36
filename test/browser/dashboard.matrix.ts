/** Every page in both themes and four widths: nothing overflows, nothing fails, and axe finds nothing serious. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ADMIN_KEY } from "../support/test-app.ts"
import { seriousFindings, settled } from "./axe.ts"
import { logInWith, openPage } from "./browser.ts"
import { type ShownIds, shownPages, THEMES, WIDTHS } from "./pages.ts"
import { openStage, type Stage } from "./stage.ts"

let stage: Stage
let ids: ShownIds

beforeAll(async () => {
  stage = await openStage(9_000)
  await stage.tellAlerts()
  ids = await stage.shownIds()
})
afterAll(() => stage?.close())

for (const theme of THEMES) {
  for (const [width, pixels] of Object.entries(WIDTHS)) {
    describe(`${theme}, ${width}`, () => {
      test.each(["admin", "own"] as const)("pages of %s", async (realm) => {
        const { page, context, faults } = await openPage(stage.browser, stage.app.url, { width: pixels, theme })
        await logInWith(page, realm === "admin" ? { adminKey: ADMIN_KEY } : { virtualKey: stage.key("contracts").key })
        for (const { name, address } of shownPages(ids).filter((one) => one.realm === realm)) {
          await page.goto(`/dashboard${address}`)
          await settled(page)
          const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
          expect.soft(overflow, `${name} is wider than the screen`).toBeLessThanOrEqual(0)
          expect.soft(await seriousFindings(page), name).toEqual([])
          expect.soft(faults.splice(0), name).toEqual([])
        }
        await context.close()
      })
    })
  }
}

test("a choice of theme is kept over a reload, and takes the place of the system's", async () => {
  const { page, context } = await openPage(stage.browser, stage.app.url, { width: 1440, theme: "light" })
  await logInWith(page, { adminKey: ADMIN_KEY })
  const themeOf = () => page.evaluate("document.documentElement.dataset.theme")
  expect(await themeOf()).toBe("light")
  await page.getByRole("button", { name: /theme and log-out/ }).click()
  await page.getByRole("menuitemradio", { name: "Dark" }).click()
  await expect.poll(themeOf).toBe("dark")
  await page.reload()
  expect(await themeOf()).toBe("dark")
  await context.close()
})

test("shortcuts go to pages, and not while somebody types", async () => {
  const { page, context } = await openPage(stage.browser, stage.app.url, { width: 1440 })
  await logInWith(page, { adminKey: ADMIN_KEY })
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor()
  await page.keyboard.press("g")
  await page.keyboard.press("k")
  await page.getByRole("heading", { name: "Keys", level: 1 }).waitFor()
  await page.keyboard.press("/")
  await page.keyboard.type("gu")
  await expect.poll(() => page.url()).toContain("q=gu")
  await context.close()
})

test("with several organizations one is chosen, in the URL, and every page is about it", async () => {
  const made = await stage.app.admin("POST", "/admin/v1/organizations", {
    name: "Kestrel Retail",
    time_zone: "Asia/Kolkata",
  })
  const { page, context, faults } = await openPage(stage.browser, stage.app.url, { width: 390 })
  await logInWith(page, { adminKey: ADMIN_KEY })
  await page.getByRole("button", { name: /^Organization/ }).click()
  await page.getByRole("menuitemradio", { name: "Kestrel Retail" }).click()
  await expect.poll(() => page.url()).toContain(`organization=${made.body.id}`)
  await page.getByText("Nothing was called in this period").waitFor()
  await page.getByRole("button", { name: "More" }).click()
  await page.getByRole("menuitem", { name: "Projects" }).click()
  await page.getByRole("table", { name: "Projects" }).getByRole("link", { name: "default" }).waitFor()
  expect(await page.textContent("main")).not.toContain("support-copilot")
  expect(faults).toEqual([])
  await context.close()
})

test("a person with a role and keys of the own finds both kinds of pages on a phone", async () => {
  const { body: user } = await stage.app.admin("POST", "/admin/v1/users", {
    name: "Ola Nordmann",
    email: "ola@northwind.example",
  })
  await stage.app.admin("PUT", `/admin/v1/users/${user.id}/roles`, { role: "viewer", scope: {} })
  const password = "correct horse battery staple"
  expect((await stage.app.admin("PUT", `/admin/v1/users/${user.id}/password`, { password })).status).toBe(200)
  const { page, context, faults } = await openPage(stage.browser, stage.app.url, { width: 390 })
  await page.goto("/dashboard/")
  await page.getByRole("radio", { name: "E-mail" }).check({ force: true })
  await page.getByLabel("E-mail", { exact: true }).and(page.locator("input[name=email]")).fill("ola@northwind.example")
  await page.getByLabel("Password").fill(password)
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor()
  await page.goto("/dashboard/keys")
  await settled(page)
  expect(await page.getByRole("link", { name: "Create key" }).count(), "a viewer makes no keys").toBe(0)
  await page.getByRole("button", { name: "More" }).click()
  await page.getByRole("menuitem", { name: "My usage" }).click()
  await page.getByRole("heading", { name: "My usage", level: 1 }).waitFor()
  expect(faults).toEqual([])
  await context.close()
})
