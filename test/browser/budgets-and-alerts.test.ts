/** Budgets & limits and Alerts in a real browser, on a real server: what stands there, every act, and every link of an alert. */
import type { Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { RULE_KINDS } from "../../src/alerts/alert-rule.ts"
import { countAtRisk } from "../../src/dashboard/pages/budgets/rows.ts"
import { ADMIN_KEY, until } from "../support/test-app.ts"
import { raiseEveryKind } from "./alert-links.ts"
import { seriousFindings, settled } from "./axe.ts"
import { type Faults, logInWith, openPage } from "./browser.ts"
import { openStage, type Stage } from "./stage.ts"

type Json = Readonly<Record<string, unknown>> & { readonly id: string }
type Standing = {
  readonly limit_id: string
  readonly subject_name: string
  readonly used: string
  readonly projected_end: string | null
  readonly state: "ok" | "warning" | "exceeded" | "too_early"
  readonly enforcement: "hard" | "soft" | "shadow"
}

let stage: Stage
let page: Page
let faults: Faults

beforeAll(async () => {
  stage = await openStage(1_200)
  await moveCaps()
  const opened = await openPage(stage.browser, stage.app.url, { width: 1440 })
  page = opened.page
  faults = opened.faults
  page.setDefaultTimeout(15_000)
  await logInWith(page, { adminKey: ADMIN_KEY })
})
afterAll(() => stage?.close())
afterEach(() => {
  expect(faults.splice(0), "scripts that failed, what the policy refused, requests to elsewhere").toEqual([])
})

async function ask<Answer = Json>(method: string, route: string, body?: unknown): Promise<Answer> {
  const answer = await stage.app.admin(method, `/admin/v1/${route}`, body)
  if (answer.status >= 300) throw new Error(`${method} ${route} answered ${answer.status}`)
  return answer.body as unknown as Answer
}
const list = async (route: string) => (await ask<{ data: readonly Json[] }>("GET", route)).data
const standings = async () => (await ask<{ budgets: readonly Standing[] }>("GET", "usage/projection")).budgets

/** One budget that is used up, and one that will be before its window ends. */
async function moveCaps(): Promise<void> {
  const of = (name: string, all: readonly Standing[]) => {
    const found = all.find(({ subject_name: subject }) => subject === name)
    if (found === undefined) throw new Error(`${name} has no budget.`)
    return found
  }
  const all = await standings()
  await ask("PATCH", `limits/${of("sup-prod-eu", all).limit_id}`, { cap: "0.05" })
  const going = of("support-copilot", all)
  const cap = (Number(going.used) + Number(going.projected_end)) / 2
  await ask("PATCH", `limits/${going.limit_id}`, { cap: cap.toFixed(6) })
}

async function open(address: string): Promise<void> {
  await page.goto(`/dashboard${address}`)
  await settled(page)
}

const sheet = (name: string | RegExp) => page.getByRole("dialog", { name })
const toast = (words: string) => page.getByText(words, { exact: true }).first().waitFor()

describe("Budgets & limits", () => {
  test("what is used up stands first, then what will be; the side bar says how many", async () => {
    await open("/budgets")
    const rows = page.getByRole("table", { name: "Budgets" }).locator("tbody tr")
    expect(await rows.nth(0).textContent()).toMatch(/sup-prod-eu.*Used up, refusing.*Refuse/)
    expect(await rows.nth(1).textContent()).toMatch(/support-copilot.*Full (on|in) /)
    const all = await standings()
    expect(all.some(({ state }) => state === "ok")).toBe(true)
    expect(await page.getByRole("link", { name: /Budgets & limits/ }).textContent()).toContain(
      `${countAtRisk(all)} at risk`,
    )
    await page.getByRole("searchbox", { name: "Search budgets" }).fill("legal-review")
    await expect
      .poll(() => rows.allTextContents())
      .toSatisfy((texts: string[]) => texts.every((text) => text.includes("legal-review")))
    expect(page.url()).toContain("q=legal-review")
  })

  test("the overview's card leads to a budget, which has an address, its windows and its usage", async () => {
    await open("/overview")
    await page.getByRole("link", { name: "Project support-copilot" }).click()
    await sheet("support-copilot").waitFor()
    await settled(page)
    const address = new URL(page.url())
    expect(address.pathname).toMatch(/^\/dashboard\/budgets\/lim_/)
    await sheet("support-copilot").getByRole("button", { name: "View as table" }).click()
    const windows = sheet("support-copilot").getByRole("table", { name: "Earlier windows" })
    expect(await windows.locator("tbody tr").count()).toBeGreaterThan(1)
    await open(address.pathname.replace("/dashboard", ""))
    await sheet("support-copilot").getByRole("link", { name: "See its usage" }).click()
    await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor()
    expect(page.url()).toContain(`project=${stage.key("sup-prod-eu").projectId}`)
    await open("/budgets/lim_nothing")
    await page.getByText("No such limit").waitFor()
  })

  test("a budget is made without a mouse, and its form says what it will do", async () => {
    await open("/budgets")
    await page.getByRole("link", { name: "Create budget" }).focus()
    await page.keyboard.press("Enter")
    const form = sheet("Create budget")
    await form.locator("select:focus").waitFor()
    await form.getByLabel("Limit on").selectOption("project_id")
    await form.getByLabel("Which one").selectOption({ label: "search-rank" })
    await form.getByLabel("Counts", { exact: true }).selectOption("user")
    await form.getByLabel("At most").fill("five")
    await page.keyboard.press("Enter")
    await form.getByText("Write an amount of dollars").waitFor()
    await form.getByLabel("At most").fill("5")
    await form.getByLabel("In", { exact: true }).selectOption("day")
    expect(await form.getByRole("status").textContent()).toContain(
      "Each user of the project search-rank may spend $5.00 a day, days by Europe/Berlin. A call that could go over it is refused.",
    )
    await form.getByLabel("At most").press("Enter")
    await toast("Budget created")
    const made = (await list("limits")).find(({ window, cap }) => window === "day" && cap === "5")
    expect(made).toMatchObject({ scope: { each: "user" }, enforcement: "hard", time_zone: "Europe/Berlin" })
  })

  let id: string
  const limit = () => ask("GET", `limits/${id}`)

  test("it is changed, and what was counted of it stays", async () => {
    id = (await list("limits")).find(({ window, cap }) => window === "day" && cap === "5")?.id ?? ""
    await open(`/budgets/${id}`)
    await page.getByRole("button", { name: "Edit" }).click()
    await sheet(/^Edit/).getByLabel("At most").fill("6.50")
    await sheet(/^Edit/).getByLabel("Warn only").check()
    await sheet(/^Edit/).getByRole("button", { name: "Save changes" }).click()
    await toast("Budget changed")
    expect(await limit()).toMatchObject({ cap: "6.5", enforcement: "soft" })
  })

  test("it is raised until a day, and the raise is ended before its time", async () => {
    await page.getByRole("button", { name: "Raise until …" }).click()
    const raise = sheet(/^Raise/)
    await raise.getByLabel("At most").fill("3")
    await raise.getByLabel("Until the end of").fill(dayIn(7))
    await raise.getByRole("button", { name: "Raise budget" }).click()
    await raise.getByText("must be larger").waitFor()
    await raise.getByLabel("At most").fill("20")
    await raise.getByRole("button", { name: "Raise budget" }).click()
    await toast("Budget raised")
    expect(await limit()).toMatchObject({ raised_cap: "20" })
    await page.getByRole("button", { name: "End raise" }).click()
    await sheet(/^End the raise/)
      .getByRole("button", { name: "End raise" })
      .click()
    await toast("Raise ended")
    expect(await limit()).toMatchObject({ raised_cap: null, raised_until: null })
  })

  test("it is deleted, once it was said what that does", async () => {
    await page.getByRole("button", { name: "Delete" }).click()
    await sheet(/^Delete/)
      .getByRole("button", { name: "Delete limit" })
      .click()
    await toast("Limit deleted")
    expect((await list("limits")).some((one) => one.id === id)).toBe(false)
  })
})

function dayIn(days: number): string {
  return new Date(Date.now() + days * 24 * 3_600_000).toISOString().slice(0, 10)
}

describe("Alerts", () => {
  test("a rule is made, says itself in words, shows its message, and is switched off", async () => {
    await open("/alerts/rules/new")
    const form = sheet("Create rule")
    await form.getByLabel("Name").fill("keys that end")
    await form.getByLabel("Watches").selectOption("key_expiry")
    await form.getByLabel("From").fill("0")
    await form.getByRole("button", { name: "Create rule" }).click()
    await form.getByText("Write a whole number from 1 to 365").waitFor()
    await form.getByLabel("From").fill("30")
    expect(await form.getByRole("status").textContent()).toMatch(
      /^From 30 days before a key of .* expires, all channels/,
    )
    await form.getByText("A message").waitFor()
    await form.getByRole("button", { name: "Create rule" }).click()
    await toast("Rule created")
    await page.getByRole("link", { name: "keys that end" }).click()
    await sheet("keys that end").getByRole("button", { name: "Switch off" }).click()
    await toast("Rule switched off")
    const rule = (await list("alert-rules")).find(({ name }) => name === "keys that end")
    expect(rule?.parameters).toEqual({ days: 30 })
    expect(rule?.disabled_at).not.toBeNull()
  })

  test("a webhook's secret is shown once, and a test says at once what became of it", async () => {
    await open("/alerts/channels/new")
    const form = sheet("Add channel")
    await form.getByLabel("Name").fill("own hook")
    await form.getByLabel("Kind").selectOption("webhook")
    await form.getByLabel("Address").fill("nowhere")
    await page.keyboard.press("Enter")
    await form.getByText("Write the whole address").waitFor()
    await form.getByLabel("Address").fill(`${stage.places.hooks.url}/own`)
    await page.keyboard.press("Enter")
    await sheet("Channel added")
      .getByText(/^whsec_/)
      .waitFor()
    await page.keyboard.press("Escape")
    await sheet("Channel added").getByRole("button", { name: "I have the secret" }).click()
    await page.getByRole("link", { name: "own hook" }).click()
    expect(await page.content()).not.toContain("whsec_")
    await page.getByRole("button", { name: "Send test" }).click()
    await sheet("own hook").getByText("The receiver accepted the test message.").waitFor()
    expect(stage.places.hooks.received.some(({ path }) => path === "/own")).toBe(true)
    await open("/alerts/channels")
    await page.getByRole("link", { name: "pager" }).click()
    await page.getByRole("button", { name: "Send test" }).click()
    await sheet("pager")
      .getByText(/answered 503/)
      .waitFor()
  })

  test("deliveries are filtered by their state, and sent again", async () => {
    await open("/alerts/deliveries?state=delivered")
    const rows = page.getByRole("table", { name: "Deliveries" }).locator("tbody tr")
    const before = stage.places.hooks.received.length
    await rows
      .filter({ hasText: "own hook" })
      .first()
      .getByRole("button", { name: /^Redeliver/ })
      .click()
    await toast("Message is due again")
    await until(async () => (stage.places.hooks.received.length > before ? true : undefined), 30_000)
    await page.getByRole("button", { name: /^State/ }).click()
    await page.getByRole("menuitemradio", { name: "Failed" }).click()
    await expect.poll(() => page.url()).toContain("state=failed")
    expect(await rows.filter({ hasText: "pager" }).first().textContent()).toMatch(/answered 503/)
  })

  test("a digest is made, shown before it goes out, and sent", async () => {
    await open("/alerts/digests/new")
    await sheet("Create digest").getByLabel("Name").fill("daily for all")
    await sheet("Create digest").getByLabel("Sent").selectOption("daily")
    await sheet("Create digest").getByRole("button", { name: "Create digest" }).click()
    await toast("Digest created")
    await page.getByRole("link", { name: "daily for all" }).click()
    await settled(page)
    await sheet("daily for all")
      .getByText(/https:\/\/tallygate\.northwind\.example\/dashboard\/usage/)
      .waitFor()
    await page.getByRole("button", { name: "Send now" }).click()
    await sheet("daily for all")
      .getByText(/is on its way to \d channels?\./)
      .waitFor()
  })

  test("every link that an alert can contain opens its page, with all of its filters", async () => {
    await raiseEveryKind(stage)
    const rules = new Map((await list("alert-rules")).map(({ id, kind }) => [id, String(kind)]))
    const alerts = await list("alerts?limit=1000")
    expect(new Set(alerts.map(({ rule_id: id }) => rules.get(String(id))))).toEqual(new Set(RULE_KINDS))
    const [digest] = await list("digests")
    const { text } = await ask<{ text: string }>("GET", `digests/${digest?.id}/preview`)
    const inMail = /https:\/\/tallygate\.northwind\.example(\/dashboard\/\S+)/.exec(text)?.[1] ?? ""
    const paths = new Map([...alerts.map(({ path }) => String(path)), inMail].map((path) => [shapeOf(path), path]))
    expect(paths.size).toBeGreaterThan(6)
    for (const path of paths.values()) await walk(path)
  })

  test("the history says who was told, and leads on to the view, the rule and the limit", async () => {
    const alert = (await list("alerts?limit=1000")).find(({ title }) => String(title).includes("sup-prod-eu"))
    await open(`/alerts/history/${alert?.id}`)
    const detail = page.getByRole("dialog")
    expect(await detail.textContent()).toContain(String(alert?.title))
    await detail.getByRole("link", { name: "See where it stands" }).click()
    await sheet("sup-prod-eu").waitFor()
    await page.goBack()
    await detail.getByRole("link", { name: "Look at it" }).click()
    await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor()
    expect(page.url()).toContain(`key=${stage.key("sup-prod-eu").id}`)
  })
})

/** Page and names of a link: two with the same are walked once. */
function shapeOf(address: string): string {
  const { pathname, searchParams } = new URL(address, "https://tallygate.example")
  return `${pathname} ${[...searchParams.keys()].sort().join(" ")} ${searchParams.get("by")}`
}

async function walk(address: string): Promise<void> {
  await page.goto(address)
  await settled(page)
  const { pathname, searchParams } = new URL(address, stage.app.url)
  const heading = pathname === "/dashboard/overview" ? "Overview" : "Usage"
  await page.getByRole("heading", { name: heading, level: 1 }).waitFor()
  expect(await page.getByRole("alert").allTextContents(), address).toEqual([])
  expect(await page.getByText("Nothing matches in this range").count(), address).toBe(0)
  const chips = await page.getByRole("button", { name: /^Remove filter/ }).count()
  const own = ["range", "from", "until", "organization", "by", "measure"]
  expect(chips, address).toBe([...searchParams.keys()].filter((name) => !own.includes(name)).length)
}

test("a viewer reads all of it and changes nothing; a project's viewer sees its own alone", async () => {
  const organization = stage.key("contracts").organizationId
  const user = await ask("POST", "users", { name: "Vera Lind", email: "vera@northwind.example" })
  await ask("PUT", `users/${user.id}/roles`, { role: "viewer", scope: { organization_id: organization } })
  const password = "correct horse battery staple"
  await ask("PUT", `users/${user.id}/password`, { password })
  const own = await openPage(stage.browser, stage.app.url, { width: 390 })
  await own.page.goto("/dashboard/budgets")
  await own.page.getByRole("radio", { name: "E-mail" }).check({ force: true })
  await own.page.locator("input[name=email]").fill("vera@northwind.example")
  await own.page.getByLabel("Password").fill(password)
  await own.page.keyboard.press("Enter")
  await own.page.getByRole("table", { name: "Budgets" }).getByRole("link").first().click()
  await settled(own.page)
  for (const address of ["/budgets", "/alerts", "/alerts/deliveries"]) {
    await own.page.goto(`/dashboard${address}`)
    await settled(own.page)
    expect(await own.page.getByRole("link", { name: /^(Create|Add)/ }).count(), address).toBe(0)
    expect(await own.page.getByRole("button", { name: /^Redeliver/ }).count(), address).toBe(0)
    expect(await own.page.getByRole("alert").count(), address).toBe(0)
  }
  await own.page.goto("/dashboard/alerts/channels")
  await own.page.getByRole("link", { name: "finance" }).click()
  const detail = own.page.getByRole("dialog", { name: "finance" })
  await detail.getByText("Goes to").waitFor()
  expect(await detail.getByRole("button", { name: /Send test|Edit|Delete|Switch/ }).count()).toBe(0)
  expect(own.faults).toEqual([])
  await own.context.close()
})

test("what a page cannot read is told in its card, and another try reads it", async () => {
  await page.route("**/admin/v1/usage/projection*", (route) =>
    route.fulfill({ status: 400, body: JSON.stringify({ error: { message: "Not now." } }) }),
  )
  await open("/budgets")
  await page.getByRole("alert").filter({ hasText: "Where they stand could not be read" }).waitFor()
  await page.getByRole("table", { name: "Budgets" }).getByRole("link", { name: "contracts" }).waitFor()
  await page.unroute("**/admin/v1/usage/projection*")
  await page.getByRole("button", { name: "Try again" }).click()
  const first = page.getByRole("table", { name: "Budgets" }).locator("tbody tr").first()
  await expect.poll(() => first.textContent()).toContain("Used up, refusing")
})

test("the pages have no serious finding of axe, and fit 320 pixels", async () => {
  await page.setViewportSize({ width: 320, height: 800 })
  for (const address of ["/budgets", "/alerts/rules/new", "/alerts/deliveries"]) {
    await open(address)
    expect(await seriousFindings(page), address).toEqual([])
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth"), address).toBeLessThanOrEqual(0)
  }
})
