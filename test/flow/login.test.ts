/** Persons log in: what opens a session, what ends it, who may not use it, and what is never written down. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Passwords } from "../../src/identity/password.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { Browser } from "../support/browser.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

const PASSWORD = "canary-password of Ada, long enough"
const CHEAP = new Passwords({ waitingMax: 100, cost: { ln: 8, r: 8, p: 1 } })
const SESSION = "__Host-tallygate"

let one: TestApp
let other: TestApp
let sql: Sql
let organizationId: string
let counter = 0

beforeAll(async () => {
  one = await startTestApp("sandbox: true\n")
  other = await startTestApp("sandbox: true\nsessions: { behind_tls: true, hours_max: 2 }\n", {
    databaseUrl: one.databaseUrl,
  })
  sql = openPostgres(one.databaseUrl, { max: 2, applicationName: "test" })
  organizationId = (await one.admin("GET", "/admin/v1/organizations")).body.data[0]?.id ?? ""
})
afterAll(async () => {
  await sql?.end()
  await other?.close()
  await one?.close()
})

const scope = () => ({ organization_id: organizationId })

/** A user who logs in by a password whose hash is quickly checked. */
async function person(role?: string): Promise<{ id: string; email: string }> {
  const email = `person${counter++}@example.com`
  const { id } = (await one.admin("POST", "/admin/v1/users", { name: "Ada", email })).body
  if (role !== undefined) await one.admin("PUT", `/admin/v1/users/${id}/roles`, { role, scope: scope() })
  await sql`UPDATE users SET password_hash = ${await CHEAP.hash(PASSWORD)} WHERE id = ${id}`
  return { id, email }
}

async function loggedIn(body: unknown, at = one): Promise<Browser> {
  const browser = new Browser(at.url)
  const { status, text } = await browser.logIn(body)
  expect(status, text).toBe(200)
  return browser
}
const asPerson = async (role?: string) => {
  const { id, email } = await person(role)
  return { id, email, browser: await loggedIn({ email, password: PASSWORD }) }
}
const isIn = async (browser: Browser) => (await browser.get("/auth/session")).status === 200

/** Forgets who has failed here, so that one test does not slow down another. */
const forget = () => sql`DELETE FROM login_failures`

describe("what does not log in", () => {
  test.each([
    [{}, "invalid_request"],
    [{ email: "a@example.com" }, "invalid_request"],
    [{ password: PASSWORD }, "invalid_request"],
    [{ admin_key: ADMIN_KEY, key: "tg_x" }, "invalid_request"],
    [{ admin_key: ADMIN_KEY, email: "a@example.com", password: PASSWORD }, "invalid_request"],
    [{ email: "a@example.com", password: "x".repeat(257) }, "invalid_request"],
    [{ token: "x" }, "unknown_field"],
  ])("%j is no log-in", async (body, code) => {
    const answer = await new Browser(one.url).post("/auth/login", body)
    expect([answer.status, answer.body.error?.code]).toEqual([400, code])
  })
  test("an unknown address, a wrong password, a disabled user and one without a password are told the same", async () => {
    const [wrong, disabled, without] = [await person(), await person(), await person()]
    await one.admin("PATCH", `/admin/v1/users/${disabled.id}`, { disabled: true })
    await one.admin("PUT", `/admin/v1/users/${without.id}/password`, { password: null })
    const attempts = [
      { email: "nobody@example.com", password: PASSWORD },
      { email: wrong.email, password: `${PASSWORD}.` },
      { email: disabled.email, password: PASSWORD },
      { email: without.email, password: PASSWORD },
    ]
    const answers = []
    for (const attempt of attempts) {
      const browser = new Browser(one.url)
      answers.push(await browser.post("/auth/login", attempt))
      expect(browser.cookies.size).toBe(0)
    }
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answers[0]).toMatchObject({ status: 401, body: { error: { code: "login_failed" } } })
    await forget()
  })
  test.each([{ admin_key: "tga_00000000000000000000000000000000000000" }, { key: "tg_nothing" }])(
    "%j",
    async (body) => {
      const answer = await new Browser(one.url).post("/auth/login", body)
      expect([answer.status, answer.body.error?.code]).toEqual([401, "login_failed"])
    },
  )
  test("a virtual key from an address that it may not be used from", async () => {
    const { key } = await one.createKey({ ip_allow: ["192.0.2.1"] })
    expect((await new Browser(one.url).post("/auth/login", { key })).status).toBe(401)
  })
  test.each([
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { "sec-fetch-site": null, origin: "https://evil.example" },
  ])("a page of another site: %j", async (headers) => {
    const answer = await new Browser(one.url).post("/auth/login", { admin_key: ADMIN_KEY }, headers)
    expect([answer.status, answer.body.error?.code]).toEqual([403, "csrf_refused"])
    expect(answer.headers.getSetCookie()).toEqual([])
  })
  test("an address in several organizations, without saying which, or with the wrong one", async () => {
    const { email } = await person()
    const second = (await one.admin("POST", "/admin/v1/organizations", { name: "second" })).body.id
    const { id } = (await one.admin("POST", "/admin/v1/users", { name: "A", email, organization_id: second })).body
    await sql`UPDATE users SET password_hash = ${await CHEAP.hash(PASSWORD)} WHERE id = ${id}`
    const logIn = (more: object) => new Browser(one.url).logIn({ email, password: PASSWORD, ...more })
    expect((await logIn({})).body.error?.message).toContain("organization_id")
    expect((await logIn({ organization_id: "org_none" })).status).toBe(401)
    expect((await logIn({ organization_id: second })).body).toMatchObject({ user_id: id, organization_id: second })
    await forget()
  })
})

describe("what logs in", () => {
  test("an admin key of the environment, an admin key, a person and a virtual key each say who they are", async () => {
    const environment = await new Browser(one.url).logIn({ admin_key: ADMIN_KEY })
    expect(environment.body).toMatchObject({
      kind: "environment",
      name: "environment",
      roles: [{ role: "owner", scope: {} }],
      organization_id: organizationId,
    })

    const made = (await one.admin("POST", "/admin/v1/admin-keys", { name: "ci", role: "viewer", scope: scope() })).body
    const adminKey = await new Browser(one.url).logIn({ admin_key: made.key })
    expect(adminKey.body).toMatchObject({
      kind: "admin_key",
      name: made.id,
      display_name: "ci",
      roles: [{ role: "viewer", scope: scope() }],
      organization_id: organizationId,
    })

    const { id, email } = await person("billing")
    const user = await new Browser(one.url).logIn({ email: email.toUpperCase(), password: PASSWORD })
    expect(user.body).toMatchObject({
      kind: "user",
      name: id,
      user_id: id,
      display_name: "Ada",
      roles: [{ role: "billing", scope: scope() }],
    })

    const key = await one.createKey({ name: "mine", user_id: id })
    const ofKey = await new Browser(one.url).logIn({ key: key.key })
    expect(ofKey.body).toMatchObject({
      kind: "key",
      name: key.id,
      key_id: key.id,
      user_id: id,
      display_name: "mine",
      roles: [],
      organization_id: organizationId,
    })
  })
  test("the cookie is for this host alone, out of reach of scripts, and the answer is not kept", async () => {
    const answer = await new Browser(one.url).logIn({ admin_key: ADMIN_KEY })
    const [cookie = ""] = answer.headers.getSetCookie()
    expect(cookie).toMatch(/^__Host-tallygate=[\w-]{43}; /)
    const attributes = cookie.split("; ").slice(1)
    expect(attributes.toSorted()).toEqual([
      "HttpOnly",
      expect.stringMatching(/^Max-Age=43[12]\d\d$/),
      "Path=/",
      "SameSite=Strict",
      "Secure",
    ])
    expect(answer.headers.get("cache-control")).toBe("no-store")
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff")
    expect(answer.text).not.toContain(cookie.slice(cookie.indexOf("=") + 1, cookie.indexOf(";")))
  })
  test("a session lasts as long as the configuration says, and GET /auth/session says the same as the log-in", async () => {
    const browser = new Browser(other.url)
    const login = await browser.logIn({ admin_key: ADMIN_KEY })
    const hours = (Date.parse(String(login.body.expires_at)) - Date.now()) / 3_600_000
    expect(hours).toBeGreaterThan(1.9)
    expect(hours).toBeLessThanOrEqual(2)
    expect((await browser.get("/auth/session")).body).toEqual(login.body)
  })
  test("a log-in takes the place of the one before in the same browser", async () => {
    const { browser } = await asPerson()
    const before = browser.cookies.get(SESSION) ?? ""
    await browser.logIn({ admin_key: ADMIN_KEY })
    const old = new Browser(one.url)
    old.setCookie(SESSION, before)
    expect(await isIn(old)).toBe(false)
    expect(await isIn(browser)).toBe(true)
  })
  test("/auth/methods says how", async () => {
    const { body, headers } = await new Browser(one.url).get("/auth/methods")
    expect(body).toEqual({ password: true, oidc: null })
    expect(headers.get("cache-control")).toBe("no-store")
    expect((await new Browser(one.url).get("/auth/oidc/start")).status).toBe(404)
  })
})

describe("what a session may do", () => {
  test("a person does what the roles say, and the audit log names the person", async () => {
    const { id, browser } = await asPerson("admin")
    const made = await browser.post("/admin/v1/projects", { name: `p${counter++}` })
    expect(made.status, made.text).toBe(201)
    const audit = await browser.get(`/admin/v1/audit?subject=${String(made.body.id)}`)
    expect(audit.body.data).toMatchObject([{ actor: id, ip: "127.0.0.1", action: "project.create" }])
    expect((await browser.post("/admin/v1/organizations", { name: "x" })).status).toBe(403)
  })
  test("a person without a role, and a virtual key, may do nothing of an admin's", async () => {
    const { key } = await one.createKey()
    for (const browser of [(await asPerson()).browser, await loggedIn({ key })]) {
      expect((await browser.get("/admin/v1/keys")).status).toBe(403)
      expect((await browser.get(`/admin/v1/organizations/${organizationId}`)).status).toBe(404)
      expect((await browser.post("/admin/v1/keys", { name: "x" })).status).toBe(404)
    }
  })
  test("an admin key in the header counts, whatever the cookie says", async () => {
    const { browser } = await asPerson()
    const headers = {
      authorization: `Bearer ${ADMIN_KEY}`,
      "x-tallygate-csrf": null,
      "sec-fetch-site": null,
      origin: null,
    }
    expect((await browser.post("/admin/v1/projects", { name: `p${counter++}` }, headers)).status).toBe(201)
    expect((await browser.get("/admin/v1/keys", { authorization: "Bearer nonsense" })).status).toBe(401)
  })
})

describe("a request that changes something with a cookie", () => {
  const METHODS = ["POST", "PUT", "PATCH", "DELETE"]
  const OWN = { origin: "own", "sec-fetch-site": "same-origin" }
  const SENDERS: readonly [string, Record<string, string | null>, boolean][] = [
    ["a page of ours", OWN, true],
    ["a page of ours in a browser without Sec-Fetch-Site", { ...OWN, "sec-fetch-site": null }, true],
    ["a page of ours through a proxy that rewrites the host", { ...OWN, origin: "https://tallygate.example" }, true],
    ["a page of a sibling host", { ...OWN, "sec-fetch-site": "same-site" }, false],
    ["a page of another site", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }, false],
    ["a page of another site that says it is ours in Origin alone", { ...OWN, "sec-fetch-site": "cross-site" }, false],
    ["an old browser on another site", { origin: "https://evil.example", "sec-fetch-site": null }, false],
    ["a frame without an origin", { origin: "null", "sec-fetch-site": null }, false],
    ["the address bar", { origin: null, "sec-fetch-site": "none" }, false],
    ["whoever does not say", { origin: null, "sec-fetch-site": null }, false],
  ]
  let browser: Browser
  let foreignToken: string
  beforeAll(async () => {
    browser = await loggedIn({ admin_key: ADMIN_KEY })
    foreignToken = (await loggedIn({ admin_key: ADMIN_KEY })).csrfToken
  })

  test.each(SENDERS)("from %s", async (_who, given, isOwn) => {
    const own = { ...given, ...(given.origin === "own" ? { origin: one.url } : {}) }
    const tokens = {
      right: browser.csrfToken,
      none: null,
      empty: "",
      foreign: foreignToken,
      cookie: browser.cookies.get(SESSION) ?? "",
    }
    for (const method of METHODS) {
      for (const [what, token] of Object.entries(tokens)) {
        // No such route or thing: it is refused before that is looked at, or not at all.
        const headers = { ...own, "x-tallygate-csrf": token }
        const { status, body } = await browser.send(method, "/admin/v1/limits/lim_none", { headers, body: {} })
        const isPassed = isOwn && what === "right"
        expect([method, what, status === 403 && body.error?.code === "csrf_refused"]).toEqual([method, what, !isPassed])
      }
    }
    expect((await browser.get("/admin/v1/keys", own)).status).toBe(200)
  })
  test("is refused for log-out and for passwords just so", async () => {
    const { browser } = await asPerson()
    const headers = { "x-tallygate-csrf": null }
    const change = { current: PASSWORD, new: "another canary-password" }
    expect((await browser.post("/auth/logout", {}, headers)).body.error?.code).toBe("csrf_refused")
    expect((await browser.post("/auth/password", change, headers)).body.error?.code).toBe("csrf_refused")
    expect(await isIn(browser)).toBe(true)
  })
})

describe("a session ends everywhere", () => {
  const elsewhere = (browser: Browser) => {
    const same = new Browser(other.url)
    same.setCookie(SESSION, browser.cookies.get(SESSION) ?? "")
    return same
  }
  const CAUSES: readonly [string, (id: string) => Promise<unknown>][] = [
    ["its user is disabled", (id) => one.admin("PATCH", `/admin/v1/users/${id}`, { disabled: true })],
    [
      "its user gets a role",
      (id) => one.admin("PUT", `/admin/v1/users/${id}/roles`, { role: "viewer", scope: scope() }),
    ],
    ["its user loses a role", (id) => one.admin("DELETE", `/admin/v1/users/${id}/roles`, { scope: scope() })],
    [
      "its user's password is taken away",
      (id) => one.admin("PUT", `/admin/v1/users/${id}/password`, { password: null }),
    ],
    ["its user is erased", (id) => one.admin("POST", `/admin/v1/users/${id}/erase`)],
  ]
  test.each(CAUSES)("when %s", async (_why, act) => {
    const { id, browser } = await asPerson("billing")
    expect(await isIn(elsewhere(browser))).toBe(true)
    expect(await act(id)).toMatchObject({ status: 200 })
    const answer = await elsewhere(browser).get("/admin/v1/keys")
    expect([answer.status, answer.body.error?.code]).toEqual([401, "not_logged_in"])
  })
  test("when its admin key is revoked", async () => {
    const made = (await one.admin("POST", "/admin/v1/admin-keys", { name: "k", role: "owner" })).body
    const browser = await loggedIn({ admin_key: made.key })
    await one.admin("POST", `/admin/v1/admin-keys/${made.id}/revoke`)
    expect(await isIn(elsewhere(browser))).toBe(false)
  })
  test("when its virtual key is revoked", async () => {
    const { id, key } = await one.createKey()
    const browser = await loggedIn({ key })
    expect(await isIn(elsewhere(browser))).toBe(true)
    await one.admin("POST", `/admin/v1/keys/${id}/revoke`)
    expect(await isIn(elsewhere(browser))).toBe(false)
  })
  test("by log-out, which takes the cookie along; a second one is no fault", async () => {
    const { browser } = await asPerson()
    const there = elsewhere(browser)
    const answer = await browser.post("/auth/logout")
    expect(answer.status).toBe(200)
    expect(answer.headers.getSetCookie()[0]).toMatch(/^__Host-tallygate=; Max-Age=0; Path=\/; HttpOnly; Secure/)
    expect(browser.cookies.size).toBe(0)
    expect(await isIn(there)).toBe(false)
    expect((await browser.post("/auth/logout")).status).toBe(200)
  })
})

describe("passwords", () => {
  const setTo = (browser: Browser, id: string, password: unknown) =>
    browser.send("PUT", `/admin/v1/users/${id}/password`, { body: { password } })

  test("an admin sets one for whom is not more, never an owner's, and moves no owner's address", async () => {
    const { browser } = await asPerson("admin")
    const [viewer, owner] = [await person("viewer"), await person("owner")]
    expect((await setTo(browser, owner.id, PASSWORD)).body.error).toMatchObject({ code: "not_permitted" })
    expect((await setTo(browser, owner.id, null)).status).toBe(403)
    const moved = { body: { email: "mallory@example.com" } }
    expect((await browser.send("PATCH", `/admin/v1/users/${owner.id}`, moved)).status).toBe(403)
    expect((await browser.send("PATCH", `/admin/v1/users/${owner.id}`, { body: { name: "Renamed" } })).status).toBe(200)
    await one.admin("PATCH", `/admin/v1/users/${owner.id}`, { external_id: owner.id })
    const rows = [{ external_id: owner.id, name: "Renamed", email: "mallory@example.com" }]
    const imported = await browser.post(`/admin/v1/users/import?organization_id=${organizationId}`, rows)
    expect(imported.body).toMatchObject({ failed: 1, data: [{ error: expect.stringContaining("more than yours") }] })
    expect((await setTo(browser, viewer.id, "a new password for them")).body).toMatchObject({ has_password: true })
    const again = new Browser(one.url)
    expect((await again.logIn({ email: viewer.email, password: "a new password for them" })).status).toBe(200)
  })
  test.each(["short", "password1234", 12, undefined])("%j is none", async (password) => {
    const { id } = await person()
    const answer = await one.admin("PUT", `/admin/v1/users/${id}/password`, { password })
    expect(answer).toMatchObject({ status: 400, body: { error: { param: "password" } } })
  })
  test("neither a user without an address nor a service account has one", async () => {
    const { id } = (await one.admin("POST", "/admin/v1/users", { name: "nameless" })).body
    const robot = (await one.admin("POST", "/admin/v1/service-accounts", { name: "robot", email: "robot@example.com" }))
      .body
    expect(await one.admin("PUT", `/admin/v1/users/${id}/password`, { password: PASSWORD })).toMatchObject({
      status: 400,
    })
    expect(await one.admin("PUT", `/admin/v1/users/${robot.id}/password`, { password: PASSWORD })).toMatchObject({
      status: 404,
    })
  })
  test("one changes the own with the present one; other sessions end, this browser goes on with a new one", async () => {
    const { email, browser } = await asPerson()
    const second = await loggedIn({ email, password: PASSWORD })
    const before = browser.cookies.get(SESSION)
    const wrong = await browser.post("/auth/password", {
      current: "not the present one",
      new: "another canary-password",
    })
    expect([wrong.status, wrong.body.error?.param]).toEqual([401, "current"])
    expect((await browser.post("/auth/password", { current: PASSWORD, new: "short" })).status).toBe(400)
    const changed = await browser.post("/auth/password", { current: PASSWORD, new: "another canary-password" })
    expect(changed.status, changed.text).toBe(200)
    expect(browser.cookies.get(SESSION)).not.toBe(before)
    expect([await isIn(second), await isIn(browser)]).toEqual([false, true])
    expect((await new Browser(one.url).logIn({ email, password: PASSWORD })).status).toBe(401)
    expect((await new Browser(one.url).logIn({ email, password: "another canary-password" })).status).toBe(200)
    await forget()
  })
  test("who does not log in by one has none to change", async () => {
    const browser = await loggedIn({ admin_key: ADMIN_KEY })
    expect((await browser.post("/auth/password", { current: "x", new: PASSWORD })).status).toBe(403)
    expect((await new Browser(one.url).post("/auth/password", { current: "x", new: PASSWORD })).status).toBe(401)
  })
})

describe("guessing", () => {
  test("is slowed down over both proxies, for the right password too, and by nobody for another account", async () => {
    await forget()
    const [guessed, other1] = [await person(), await person()]
    const guess = (app: TestApp) => new Browser(app.url).logIn({ email: guessed.email, password: "wrong" })
    const statuses = []
    for (let index = 0; index < 6; index++) statuses.push((await guess(index % 2 === 0 ? one : other)).status)
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
    // As after many more of them, so that the wait outlasts the test.
    await sql`UPDATE login_failures SET failures = 20, last_at = now() WHERE subject LIKE 'account %'`
    const refused = await new Browser(other.url).logIn({ email: guessed.email, password: PASSWORD })
    expect([refused.status, refused.body.error?.code]).toEqual([429, "too_many_attempts"])
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(50)
    await loggedIn({ email: other1.email, password: PASSWORD })
    await sql`UPDATE login_failures SET last_at = last_at - interval '61 seconds'`
    await loggedIn({ email: guessed.email, password: PASSWORD }, other)
    expect(await sql`SELECT 1 FROM login_failures WHERE subject LIKE 'account %'`).toEqual([])
    await forget()
  })
  test("the present password on the way to a new one counts as guessing", async () => {
    const { browser } = await asPerson()
    await sql`DELETE FROM login_failures`
    await browser.post("/auth/password", { current: "wrong", new: PASSWORD })
    expect(await sql`SELECT failures FROM login_failures ORDER BY subject`).toEqual([{ failures: 1 }, { failures: 1 }])
    await forget()
  })
})

test("no secret of a log-in stands in a log, a table or the audit log", async () => {
  const { browser } = await asPerson("owner")
  await browser.post("/admin/v1/projects", { name: `p${counter++}` })
  await new Browser(one.url).logIn({ email: "canary-password typed as address", password: "wrong canary-password" })
  const secret = browser.cookies.get(SESSION) ?? ""
  const tables = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'r'`
  const rows = await Promise.all(tables.map(({ name }) => sql`SELECT t::text AS row FROM ${sql(name)} t`))
  const everything = [...one.logged, ...other.logged, JSON.stringify(rows)].join("\n")
  expect(secret).toHaveLength(43)
  expect(tables.length).toBeGreaterThan(15)
  for (const canary of [secret, browser.csrfToken, ADMIN_KEY, "canary-password"])
    expect(everything).not.toContain(canary)
  await forget()
})
