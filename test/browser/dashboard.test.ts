/** The dashboard in a real browser, on a real server: the main task of each page, by mouse and by keyboard. */
import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import type { Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { total } from "../../src/dashboard/format/format.ts"
import { BUNDLE_FOLDER } from "../../src/dashboard/freshness.ts"
import { callOnce } from "../demo/traffic.ts"
import { ADMIN_KEY } from "../support/test-app.ts"
import { seriousFindings, settled } from "./axe.ts"
import { type Faults, logInWith, openPage } from "./browser.ts"
import { openStage, type Stage } from "./stage.ts"

const INITIAL_SCRIPT_GZIP_BYTES_MAX = 250_000

let stage: Stage
let page: Page
let faults: Faults

beforeAll(async () => {
  stage = await openStage(1_200)
  const opened = await openPage(stage.browser, stage.app.url, { width: 1440 })
  page = opened.page
  faults = opened.faults
  page.setDefaultTimeout(15_000)
})
afterAll(() => stage?.close())
afterEach(() => {
  expect(faults.splice(0), "scripts that failed, what the policy refused, requests to elsewhere").toEqual([])
})

async function open(address: string): Promise<void> {
  await page.goto(`/dashboard${address}`)
  await settled(page)
}

async function askAdmin<Answer>(route: string): Promise<Answer> {
  return (await stage.app.admin("GET", route)).body as unknown as Answer
}

test("a wrong key is refused without saying more, and a right one opens the first page", async () => {
  await page.goto("/dashboard/overview?range=7d")
  await page.getByRole("radio", { name: "Admin key" }).check({ force: true })
  await page.locator("input[name=secret]").fill("wrong")
  await page.getByRole("button", { name: "Log in" }).click()
  expect(await page.getByRole("alert").textContent()).toContain("not valid")
  await page.locator("input[name=secret]").fill(ADMIN_KEY)
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor()
  expect(page.url()).toContain("range=7d")
  const kept = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
  expect(kept).not.toContain(ADMIN_KEY)
})

describe("Overview", () => {
  test("shows the sum that the API answers, what it was before, and where it goes down to the total", async () => {
    await open("/overview")
    const { totals } = await askAdmin<{ totals: { cost_usd: string } }>("/admin/v1/usage/summary?range=this_month")
    const hero = page
      .getByRole("region", { name: /Spend/ })
      .or(page.locator("section", { hasText: "Spend this month" }))
      .first()
    await hero.getByText(total(totals.cost_usd), { exact: true }).waitFor()
    expect(await hero.textContent()).toMatch(/against \$[\d,.]+ in \d+–\d+ \w{3}/)
    const table = page.getByRole("table", { name: "Spend by model" })
    expect(await table.locator("tfoot").textContent()).toContain(total(totals.cost_usd))
    expect(await page.locator("svg.recharts-surface .recharts-bar-rectangle").count()).toBeGreaterThan(20)
  })

  test("a call stands in the live rows about a second after it was made", async () => {
    const live = page.getByRole("table", { name: "Last requests" })
    await page.locator("section", { hasText: "as they come" }).first().waitFor()
    const answer = await callOnce(stage.app.url, stage.key("checkout-dev").key, 1)
    expect(answer.status).toBe(200)
    const id = answer.headers.get("x-request-id")
    await live.locator(`a[href*="${id}"]`).waitFor()
  })

  test("the plot is moved through by arrows, says each column, and is a table too", async () => {
    await page.locator("[role=img][aria-label^='Spend for each day']").focus()
    await page.keyboard.press("End")
    const said = page.locator("[role=application] [aria-live=polite]")
    await expect.poll(() => said.textContent()).toMatch(/^\w{3} \d+ \w{3}, total \$/)
    await page.keyboard.press("Escape")
    await page.getByRole("button", { name: "View as table" }).click()
    await page.getByRole("table", { name: /^Spend for each day/ }).waitFor()
    expect(page.url()).toContain("view=table")
  })
})

describe("Usage", () => {
  test("leads from project to key to requests, and the URL says where one is", async () => {
    await open("/usage?by=project")
    await page.getByRole("table", { name: "Usage by project" }).getByRole("link", { name: "support-copilot" }).click()
    await page.getByText("Project support-copilot").first().waitFor()
    expect(page.url()).toMatch(/project=proj_\w+/)
    await open(
      `${new URL(page.url()).pathname.replace("/dashboard", "")}?project=${stage.key("sup-prod-eu").projectId}&by=key`,
    )
    await page.getByRole("button", { name: "Why sup-prod-eu cost that" }).click()
    await page.getByRole("heading", { name: /^Why sup-prod-eu cost/ }).waitFor()
    await settled(page)
    await page.getByRole("link", { name: "See the requests" }).click()
    await page.getByRole("heading", { name: "Requests", level: 1 }).waitFor()
    expect(page.url()).toContain(`key=${stage.key("sup-prod-eu").id}`)
  })

  test("a filter is set without a mouse, and the export holds exactly what the page shows", async () => {
    await open("/usage?by=model")
    await page.keyboard.press("/")
    await page.keyboard.press("Enter")
    const sheet = page.getByRole("dialog", { name: "Filter" })
    await sheet.getByLabel("Field").selectOption("model")
    const value = sheet.getByRole("checkbox", { name: /claude-opus-5/ })
    await value.focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Enter")
    await expect.poll(() => page.url()).toContain("model=claude-opus-5")
    await settled(page)
    const { totals } = await askAdmin<{ totals: { cost_usd: string; records: string } }>(
      "/admin/v1/usage/summary?range=this_month&model=claude-opus-5",
    )
    await page.getByRole("region", { name: "Totals of this view" }).getByText(total(totals.cost_usd)).waitFor()
    await page.getByRole("button", { name: "Export this view" }).focus()
    await page.keyboard.press("Enter")
    await page.getByRole("menuitem", { name: "This view as CSV" }).focus()
    const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")])
    const csv = readFileSync(await download.path(), "utf8")
    expect(csv).toContain("claude-opus-5")
    expect(csv).toContain(totals.cost_usd)
    expect(csv).not.toContain("gpt-5.4-mini")
  })

  test("what nothing matches says so, with the way out", async () => {
    await open("/usage?model=no-such-model")
    await page.getByText("Nothing matches in this range").waitFor()
    await page.getByRole("button", { name: /^Remove filter Model/ }).click()
    await page.getByRole("table", { name: "Usage by model" }).waitFor()
  })

  test("a question that the server refuses is told in the card, and the rest of the page lives on", async () => {
    await page.goto("/dashboard/usage?conversation=c1&range=90d")
    await page.getByRole("alert").filter({ hasText: "31 days" }).first().waitFor()
    await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor()
  })
})

describe("Requests", () => {
  test("one request has its own address, with every token class and a cost that adds up line by line", async () => {
    const { data } = await askAdmin<{ data: { id: string; cost_usd: string }[] }>(
      "/admin/v1/usage/records?model=claude-opus-5&outcome=ok&limit=1",
    )
    const [record] = data
    if (record === undefined) throw new Error("The story has no call of claude-opus-5.")
    await open(`/requests/${record.id}`)
    const sheet = page.getByRole("dialog", { name: "claude-opus-5" })
    await sheet.getByRole("table", { name: "Cost line by line" }).waitFor()
    const cells = await sheet.locator("table tbody td:last-child").allTextContents()
    expect(sumOf(cells)).toBe(picosOf(record.cost_usd))
    expect(await sheet.textContent()).toMatch(/\$25\.00 per 1 M/)
    await page.keyboard.press("Escape")
    await expect.poll(() => new URL(page.url()).pathname).toBe("/dashboard/requests")
  })

  test("an id that there is not says so", async () => {
    await page.goto("/dashboard/requests/0197-nothing")
    await page.getByRole("alert").filter({ hasText: "There is no record" }).waitFor()
  })
})

/** Dollars as they are shown, in pico-dollars. */
function picosOf(shown: string): bigint {
  const [whole = "0", fraction = ""] = shown.replaceAll(/[$,]/g, "").split(".")
  return BigInt(whole + fraction.padEnd(12, "0"))
}

function sumOf(shown: readonly string[]): bigint {
  return shown.reduce((sum, one) => sum + picosOf(one), 0n)
}

describe("Keys", () => {
  const secretOf = () => page.locator("[data-secret]").textContent()

  test("a key is made without a mouse, its secret shown once, and its first call appears", async () => {
    await open("/keys")
    await page.getByRole("link", { name: "Create key" }).focus()
    await page.keyboard.press("Enter")
    await page.getByRole("dialog", { name: "Create key" }).waitFor()
    await page.keyboard.type("made by keys")
    for (let step = 0; step < 3; step += 1) await page.keyboard.press("Tab")
    await page.keyboard.type("five")
    await page.keyboard.press("Enter")
    await page.getByText("Write an amount of dollars").waitFor()
    await page.getByLabel("Budget").fill("5.00")
    await page.keyboard.press("Enter")
    const reveal = page.getByRole("dialog", { name: "Key created" })
    await reveal.waitFor()
    const secret = (await secretOf()) ?? ""
    expect(secret).toMatch(/^tg_/)
    await page.mouse.click(20, 400)
    await page.keyboard.press("Escape")
    expect(await secretOf()).toBe(secret)
    for (const client of ["Python", "JavaScript", "Claude Code", "Codex", "curl"]) {
      await reveal.getByRole("radio", { name: client, exact: true }).check({ force: true })
      expect(await reveal.locator("pre").textContent()).toContain(secret)
    }
    expect((await callOnce(stage.app.url, secret, 0)).status).toBe(200)
    await reveal.getByText(/First call at/).waitFor()
    await reveal.getByRole("button", { name: "I have the secret" }).click()
    const made = page.getByRole("row", { name: /made by keys/ })
    expect(await made.textContent()).toContain("$5.00 a month")
    await page.reload()
    await made.waitFor()
    expect(await page.content()).not.toContain(secret)
  })

  test("a rotated key has a new secret, a revoked one none that works", async () => {
    await page.getByRole("link", { name: "made by keys" }).click()
    await page.getByRole("button", { name: "Rotate key" }).click()
    await page.getByLabel("The old secret stops").selectOption("0")
    await page
      .getByRole("dialog", { name: /^Rotate/ })
      .getByRole("button", { name: "Rotate key" })
      .click()
    await page.getByRole("dialog", { name: "Key rotated" }).waitFor()
    const secret = (await secretOf()) ?? ""
    expect((await callOnce(stage.app.url, secret, 0)).status).toBe(200)
    await page.getByRole("button", { name: "I have the secret" }).click()
    await page.getByRole("link", { name: "made by keys" }).click()
    await page.getByRole("button", { name: "Revoke key" }).click()
    await page
      .getByRole("dialog", { name: /^Revoke/ })
      .getByRole("button", { name: "Revoke key" })
      .click()
    await page.getByText("Key revoked").first().waitFor()
    expect((await callOnce(stage.app.url, secret, 0)).status).toBe(401)
  })
})

test("Projects & users: a project is made, given a budget and a member", async () => {
  await open("/projects")
  await page.getByRole("link", { name: "Create project" }).click()
  await page.getByLabel("Name").fill("fraud-desk")
  await page.keyboard.press("Enter")
  await page.getByText("Project created").first().waitFor()
  await page.getByRole("link", { name: "fraud-desk" }).click()
  const sheet = page.getByRole("dialog", { name: "fraud-desk" })
  await sheet.getByLabel("Budget").fill("75")
  await page.keyboard.press("Enter")
  await sheet.getByText("$75.00 a month").waitFor()
  await sheet.getByLabel("Add a member").selectOption({ label: "Li Chen" })
  await sheet.getByRole("button", { name: "Remove Li Chen" }).waitFor()
})

describe("Models & prices", () => {
  const dialog = (name: string | RegExp) => page.getByRole("dialog", { name })

  test("a model without a price gets one, its calls are re-priced after a preview, and the request says so", async () => {
    const { projectId } = stage.key("checkout-prod")
    const report = {
      provider: "openai",
      model: "house-1",
      input_tokens: 1_000_000,
      output_tokens: 10,
      project_id: projectId,
    }
    const { id } = (await stage.app.admin("POST", "/admin/v1/usage/records", report)).body
    await stage.app.record(id)
    await open("/prices")
    const queue = page.getByRole("table", { name: "Called without a price" })
    await queue
      .getByRole("row", { name: /house-1/ })
      .getByRole("link", { name: "Set price" })
      .click()
    await dialog("Set price").getByLabel("Input, USD per 1 M tokens").fill("2.5")
    await dialog("Set price").getByLabel("Output, USD per 1 M tokens").fill("ten")
    await dialog("Set price").getByRole("button", { name: "Set price" }).click()
    await dialog("Set price").getByText("Write dollars such as 2.50").waitFor()
    await dialog("Set price").getByLabel("Output, USD per 1 M tokens").fill("10")
    await dialog("Set price").getByRole("button", { name: "Set price" }).click()
    const preview = dialog("Re-price calls")
    await preview.getByText("1 request would be re-priced, $2.500100 in all.").waitFor()
    expect(await preview.getByRole("table", { name: "By organization" }).textContent()).toContain(
      "Northwind Labs1$2.500100",
    )
    expect(await preview.getByRole("table", { name: "By model" }).textContent()).toContain("openai/house-1")
    await preview.getByRole("button", { name: "Re-price 1 request" }).click()
    await page.getByRole("button", { name: "Re-price requests" }).click()
    await page.getByText("1 request re-priced", { exact: true }).first().waitFor()
    await open(`/requests/${id}`)
    const corrections = dialog("house-1").getByRole("table", { name: "Corrections" })
    await expect.poll(() => corrections.textContent()).toContain("Sum now, exact$2.500100")
    await open("/prices")
    await expect.poll(() => queue.getByRole("row", { name: /house-1/ }).count()).toBe(0)
    const inUse = page.getByRole("table", { name: "Models in use" })
    expect(await inUse.getByRole("row", { name: /house-1/ }).textContent()).toMatch(/\$2\.50.*\$10\.00.*Set for/)
  })

  test("a month is closed with its statement, and stays closed", async () => {
    await open("/prices")
    const months = page.getByRole("table", { name: "Months" }).locator("tbody tr")
    await months.filter({ hasText: "Can be closed" }).last().getByRole("link").click()
    const statement = dialog(/^Statement of/)
    await statement.getByRole("table", { name: "Lines of the statement" }).waitFor()
    expect(await seriousFindings(page)).toEqual([])
    await statement.getByRole("button", { name: "Close month" }).click()
    await dialog(/^Close 20/)
      .getByRole("button", { name: "Close month" })
      .click()
    await page.getByText("Month closed", { exact: true }).first().waitFor()
    await statement.getByText("Closed", { exact: true }).waitFor()
    expect(await statement.getByRole("button", { name: "Close month" }).count()).toBe(0)
    expect(await statement.getByRole("link", { name: "Download CSV" }).getAttribute("href")).toMatch(/format=csv$/)
  })
})

test("an admin's pages have no serious finding of axe", async () => {
  for (const address of ["/overview", "/usage?by=key", "/requests", "/keys/new", "/projects"]) {
    await open(address)
    expect(await seriousFindings(page), address).toEqual([])
  }
})

test("My usage: the holder of a key sees its own usage and limits, and nobody else's name", async () => {
  const { key, story } = stage.key("contracts")
  const own = await openPage(stage.browser, stage.app.url, { width: 1440 })
  await logInWith(own.page, { virtualKey: key })
  await own.page.getByRole("heading", { name: "My usage", level: 1 }).waitFor()
  await settled(own.page)
  await own.page.getByText("$40.00 a month").waitFor()
  await own.page.getByRole("meter", { name: "$40.00 a month" }).waitFor()
  const text = (await own.page.textContent("body")) ?? ""
  for (const foreign of ["support-copilot", "sup-prod-eu", "Mia Okafor", "Northwind"])
    expect(text).not.toContain(foreign)
  expect(await seriousFindings(own.page)).toEqual([])
  await own.page.getByRole("link", { name: "My keys" }).click()
  await own.page.getByRole("link", { name: story.name }).waitFor()
  await own.page.getByRole("button", { name: /theme and log-out/ }).click()
  await own.page.getByRole("menuitem", { name: "Log out" }).click()
  await own.page.getByRole("heading", { name: "Log in" }).waitFor()
  expect(own.faults).toEqual([])
  await own.context.close()
})

test("what the first page loads is small, and the plots are no part of it", () => {
  const index = readFileSync(path.join(BUNDLE_FOLDER, "index.html"), "utf8")
  const scripts = [...index.matchAll(/(?:src|href)="\/dashboard\/(assets\/[\w.-]+\.js)"/g)].map(
    (match) => match[1] ?? "",
  )
  expect(scripts.length).toBeGreaterThan(0)
  const bytes = scripts.reduce((sum, file) => sum + readFileSync(path.join(BUNDLE_FOLDER, `${file}.gz`)).length, 0)
  expect(bytes).toBeLessThan(INITIAL_SCRIPT_GZIP_BYTES_MAX)
  const others = readdirSync(path.join(BUNDLE_FOLDER, "assets")).filter((file) => file.endsWith(".js"))
  const plots = others.filter((file) =>
    readFileSync(path.join(BUNDLE_FOLDER, "assets", file), "utf8").includes("recharts-surface"),
  )
  expect(plots.length).toBeGreaterThan(0)
  for (const file of plots) expect(scripts).not.toContain(`assets/${file}`)
})
