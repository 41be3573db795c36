/** Log-in at an identity provider: what goes wrong on the way, who becomes whom, and which roles groups give. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { Browser } from "../support/browser.ts"
import { CLIENT_ID, CLIENT_SECRET, type FakeOidc, type Person, startFakeOidc } from "../support/fake-oidc.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

const SESSION = "__Host-tallygate"
const KEPT = "__Host-tallygate-oidc"
const CALLBACK = "/auth/oidc/callback"

let provider: FakeOidc
let app: TestApp
let sql: Sql
let organizationId: string
let projectId: string
let counter = 0

beforeAll(async () => {
  // The provider compares the whole address, without its port on this machine.
  provider = await startFakeOidc([`http://127.0.0.1${CALLBACK}`, "https://tallygate.example/auth/oidc/callback"])
  app = await startTestApp(config(provider.issuer))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
  organizationId = (await app.admin("GET", "/admin/v1/organizations")).body.data[0]?.id ?? ""
  projectId = (await app.admin("POST", "/admin/v1/projects", { name: "search", external_id: "search" })).body.id
})
beforeEach(() => {
  provider.changeIdToken = (claims) => claims
  provider.isForging = false
  provider.isRefusing = false
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
  await provider?.stop()
})

function config(issuer: string, more = ""): string {
  return `
sandbox: true
oidc:
  name: Acme
  issuer: ${issuer}
  client_id: ${CLIENT_ID}
  client_secret: ${CLIENT_SECRET}
${more}
  roles:
    - { group: platform, role: owner }
    - { group: leads, role: admin, project: search }
    - { group: readers, role: viewer, project: search }
    - { group: nowhere, role: admin, project: not-there }
`
}

const somebody = (more: Partial<Person> = {}): Person => {
  const sub = `s${counter++}`
  return { sub, email: `${sub}@example.com`, email_verified: true, name: "Ada", groups: ["readers"], ...more }
}

/** Goes as far as the address that the provider sends the browser back to. */
async function answered(browser: Browser, person = somebody()): Promise<URL> {
  provider.person = person
  return (await browser.follow("/auth/oidc/start", (url) => url.pathname === CALLBACK)).url
}

async function logIn(person: Person, browser = new Browser(app.url)) {
  const back = await answered(browser, person)
  return { browser, answer: await browser.get(back.href) }
}

async function loggedIn(person: Person) {
  const { browser, answer } = await logIn(person)
  expect([answer.status, answer.headers.get("location")], answer.text).toEqual([302, "/dashboard"])
  const session = await browser.get("/auth/session")
  return { browser, session: session.body, id: String(session.body.user_id) }
}

/** What went wrong, as the log has it. */
const logged = (from: number) =>
  app.logged.slice(from).flatMap((line) => {
    const { msg, kind, detail } = JSON.parse(line) as { msg?: string; kind?: string; detail?: string }
    return msg === "log-in failed" ? [`${kind}: ${detail}`] : []
  })

async function refused(browser: Browser, path: string, status: number, words: string): Promise<string> {
  const from = app.logged.length
  const answer = await browser.get(path)
  expect([answer.status, answer.headers.get("content-type")]).toEqual([status, expect.stringContaining("text/html")])
  expect(answer.text).toContain(words)
  expect(answer.headers.get("cache-control")).toBe("no-store")
  expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'")
  expect([...browser.cookies.keys()]).not.toContain(SESSION)
  return logged(from).join()
}

describe("an answer that is not one to this browser's log-in", () => {
  test("with another state", async () => {
    const browser = new Browser(app.url)
    const back = await answered(browser)
    back.searchParams.set("state", "another")
    expect(await refused(browser, back.href, 400, "Begin it again")).toContain('"state"')
  })
  test("in another browser, or in one that has begun another log-in since", async () => {
    const browser = new Browser(app.url)
    const back = await answered(browser)
    expect(await refused(new Browser(app.url), back.href, 400, "Begin it again")).toContain("kept no log-in")
    await browser.get("/auth/oidc/start")
    expect(await refused(browser, back.href, 400, "Begin it again")).toContain("state")
  })
  test("after ten minutes, also where the browser claims to have begun later", async () => {
    const browser = new Browser(app.url)
    const back = await answered(browser)
    const [secret = ""] = (browser.cookies.get(KEPT) ?? "").split(".")
    browser.setCookie(KEPT, `${secret}.${Date.now() - 1}`)
    expect(await refused(browser, back.href, 400, "Begin it again")).toContain("more than 10 minutes")
    browser.setCookie(KEPT, `${secret}.${Date.now() + 600_000}`)
    expect(await refused(browser, back.href, 400, "Begin it again")).toContain("state")
  })
  test("a second time: its code is used up", async () => {
    const browser = new Browser(app.url)
    const back = await answered(browser)
    const kept = browser.cookies.get(KEPT) ?? ""
    expect((await browser.get(back.href)).status).toBe(302)
    expect([...browser.cookies.keys()]).toEqual([SESSION])
    const again = new Browser(app.url)
    again.setCookie(KEPT, kept)
    expect(await refused(again, back.href, 400, "did not complete")).toContain("invalid_grant")
  })
  test("with a code that was made up", async () => {
    const browser = new Browser(app.url)
    const back = await answered(browser)
    back.searchParams.set("code", "made-up")
    expect(await refused(browser, back.href, 400, "did not complete")).toContain("invalid_grant")
  })
  test("where the person said no", async () => {
    provider.isRefusing = true
    const browser = new Browser(app.url)
    const back = await answered(browser)
    expect(await refused(browser, back.href, 400, "did not complete")).toContain("access_denied")
  })
})

describe("an ID token that does not hold", () => {
  const now = () => Math.floor(Date.now() / 1_000)
  test.each<[string, string, (claims: Record<string, unknown>) => Record<string, unknown>]>([
    ["with another nonce", '"nonce"', (claims) => ({ ...claims, nonce: "another" })],
    ["without the nonce", '"nonce"', ({ nonce: _, ...claims }) => claims],
    ["that has expired", '"exp"', (claims) => ({ ...claims, exp: now() - 60, iat: now() - 120 })],
    ["for another client", '"aud"', (claims) => ({ ...claims, aud: "another" })],
    ["of another issuer", '"iss"', (claims) => ({ ...claims, iss: "https://evil.example" })],
    ["of another person than the one asked about", '"sub"', (claims) => ({ ...claims, sub: "another" })],
  ])("%s", async (_what, words, change) => {
    provider.changeIdToken = change
    const browser = new Browser(app.url)
    const back = await answered(browser)
    const why = await refused(browser, back.href, 400, "Begin it again")
    expect([why.startsWith("invalid: "), why.includes(words)], why).toEqual([true, true])
  })
  test("signed by a key that the provider does not publish", async () => {
    provider.isForging = true
    const browser = new Browser(app.url)
    const back = await answered(browser)
    expect(await refused(browser, back.href, 400, "Begin it again")).toMatch(/^invalid: .*signature/)
  })
})

describe("the provider", () => {
  test("is away: the page says so, and the next log-in asks again", async () => {
    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const lonely = await startTestApp(config(issuer), { databaseUrl: app.databaseUrl })
    try {
      for (const path of ["/auth/oidc/start", "/auth/oidc/start"]) {
        const answer = await new Browser(lonely.url).get(path)
        expect([answer.status, answer.text]).toEqual([502, expect.stringContaining("does not answer")])
      }
      expect((await new Browser(lonely.url).get("/auth/methods")).body.oidc).toEqual({
        name: "Acme",
        url: "/auth/oidc/start",
      })
    } finally {
      await lonely.close()
    }
  })
  test("gets a challenge, a state and a nonce that differ each time, and the address it is to send the browser back to", async () => {
    const parameters = async () => {
      const { headers } = await new Browser(app.url).get("/auth/oidc/start")
      return new URL(headers.get("location") ?? "").searchParams
    }
    const [one, other] = [await parameters(), await parameters()]
    expect(one.get("redirect_uri")).toBe(`${app.url}${CALLBACK}`)
    expect([one.get("code_challenge_method"), one.get("response_type"), one.get("scope")]).toEqual([
      "S256",
      "code",
      "openid email profile",
    ])
    for (const name of ["state", "nonce", "code_challenge"]) {
      expect(one.get(name)).toMatch(/^[\w-]{43}$/)
      expect(one.get(name)).not.toBe(other.get(name))
    }
  })
  test("knows nothing of the cookie that the answer is checked by: no script reads it, and it lasts ten minutes", async () => {
    const answer = await new Browser(app.url).get("/auth/oidc/start")
    const [cookie = ""] = answer.headers.getSetCookie()
    expect(cookie.split("; ").slice(1).toSorted()).toEqual([
      "HttpOnly",
      "Max-Age=600",
      "Path=/",
      "SameSite=Lax",
      "Secure",
    ])
  })
})

describe("who comes back", () => {
  const rolesOf = async (id: string) =>
    (await app.admin("GET", `/admin/v1/users/${id}/roles`)).body as unknown as { roles: unknown[] }
  const overSearch = (role: string) => ({ role, scope: { project_id: projectId } })

  test("is made a user where a group gives a role, and is the same user the next time", async () => {
    const person = somebody({ name: "Grace" })
    const first = await loggedIn(person)
    expect(first.session).toMatchObject({
      kind: "user",
      display_name: "Grace",
      organization_id: organizationId,
      roles: [overSearch("viewer")],
    })
    const again = await loggedIn({ ...person, email: "moved@example.com", name: "Other" })
    expect(again.id).toBe(first.id)
    const user = (await app.admin("GET", `/admin/v1/users/${first.id}`)).body
    expect(user).toMatchObject({ email: person.email, name: "Grace", has_password: false })
    const audit = await sql`SELECT action, actor FROM audit_log WHERE subject = ${first.id} ORDER BY at, action`
    expect(audit).toEqual(
      expect.arrayContaining([
        { action: "user.create", actor: "identity provider" },
        { action: "user.link", actor: "identity provider" },
        { action: "role.groups", actor: "identity provider" },
        { action: "session.open", actor: first.id },
      ]),
    )
  })
  test.each([[[]], [undefined], [["unknown"]], [["nowhere"]], [{ readers: true }]])(
    "is no user where no group gives a role: %j",
    async (groups) => {
      const browser = new Browser(app.url)
      const person = somebody({ groups })
      const back = await answered(browser, person)
      await refused(browser, back.href, 403, "None of your groups gives you a role here")
      expect(await sql`SELECT 1 FROM users WHERE email = ${person.email ?? ""}`).toEqual([])
    },
  )
  test("with more groups than the provider sends is told so, and loses nothing", async () => {
    const person = somebody()
    const { id } = await loggedIn(person)
    const browser = new Browser(app.url)
    const back = await answered(browser, { ...person, groups: undefined, _claim_names: { groups: "src1" } })
    await refused(browser, back.href, 403, "so many groups")
    expect((await rolesOf(id)).roles).toEqual([overSearch("viewer")])
  })
  test("has the highest of what several groups give over the same, and one group suffices as a text", async () => {
    expect((await loggedIn(somebody({ groups: ["readers", "leads", "unknown"] }))).session.roles).toEqual([
      overSearch("admin"),
    ])
    expect((await loggedIn(somebody({ groups: "platform" }))).session.roles).toEqual([{ role: "owner", scope: {} }])
  })
  test("has at each log-in what the groups say then; sessions with another role end", async () => {
    const person = somebody({ groups: ["platform", "readers"] })
    const before = await loggedIn(person)
    const same = await loggedIn(person)
    expect((await before.browser.get("/auth/session")).status).toBe(200)
    const after = await loggedIn({ ...person, groups: ["leads"] })
    expect(after.session.roles).toEqual([overSearch("admin")])
    for (const { browser } of [before, same]) expect((await browser.get("/auth/session")).status).toBe(401)
    const [row] =
      await sql`SELECT before, after FROM audit_log WHERE subject = ${after.id} AND action = 'role.groups' ORDER BY at DESC LIMIT 1`
    expect(row).toMatchObject({
      before: { roles: [{ role: "owner" }, { role: "viewer" }] },
      after: { roles: [{ role: "admin" }] },
    })
  })
  test("without a group any more has no role and does not log in, unless a member of a project", async () => {
    const person = somebody()
    const { id, browser: old } = await loggedIn(person)
    const browser = new Browser(app.url)
    const back = await answered(browser, { ...person, groups: [] })
    await refused(browser, back.href, 403, "None of your groups gives you a role here")
    expect((await rolesOf(id)).roles).toEqual([])
    expect((await old.get("/auth/session")).status).toBe(401)
    await app.admin("PUT", `/admin/v1/projects/${projectId}/members/${id}`)
    expect((await loggedIn({ ...person, groups: [] })).session).toMatchObject({ user_id: id, roles: [] })
  })
  test("keeps roles given by hand, which stand before those of groups over the same", async () => {
    const person = somebody({ groups: ["readers"] })
    const { id } = await loggedIn(person)
    const scope = { organization_id: organizationId }
    await app.admin("PUT", `/admin/v1/users/${id}/roles`, { role: "billing", scope })
    await app.admin("PUT", `/admin/v1/users/${id}/roles`, { role: "admin", scope: { project_id: projectId } })
    const byHand = [{ role: "billing", scope }, overSearch("admin")]
    expect((await loggedIn(person)).session.roles).toEqual(byHand)
    expect((await loggedIn({ ...person, groups: [] })).session.roles).toEqual(byHand)
  })
  test("is the user of the verified address, who was there before", async () => {
    const email = `made-before${counter++}@example.com`
    const { id } = (await app.admin("POST", "/admin/v1/users", { name: "There", email })).body
    const came = await loggedIn(somebody({ email: email.toUpperCase() }))
    expect([came.id, came.session.display_name]).toEqual([id, "There"])
  })
  test("is not the user of an address that the provider has not verified, nor of one who logs in as somebody else", async () => {
    const email = `taken${counter++}@example.com`
    const { id } = (await app.admin("POST", "/admin/v1/users", { name: "There", email })).body
    for (const isVerified of [false, undefined]) {
      const { id: other } = await loggedIn(somebody({ email, ...{ email_verified: isVerified } } as Partial<Person>))
      expect(other).not.toBe(id)
      expect((await app.admin("GET", `/admin/v1/users/${other}`)).body).toMatchObject({ email: null })
    }
    expect((await loggedIn(somebody({ email }))).id).toBe(id)
    const browser = new Browser(app.url)
    const back = await answered(browser, somebody({ email }))
    await refused(browser, back.href, 403, "belongs to a user who logs in otherwise")
  })
  test("and whose user is disabled stays outside, with the roles as they were", async () => {
    const person = somebody()
    const { id } = await loggedIn(person)
    await app.admin("PATCH", `/admin/v1/users/${id}`, { disabled: true })
    const browser = new Browser(app.url)
    await refused(browser, (await answered(browser, person)).href, 403, "Your user is disabled")
    expect((await rolesOf(id)).roles).toEqual([overSearch("viewer")])
  })
  test("finds its page free of what others have put into their names", async () => {
    const browser = new Browser(app.url)
    const answer = await browser.get(`${CALLBACK}?error=<script>alert(1)</script>&state=x`)
    expect(answer.status).toBe(400)
    expect(answer.text).not.toContain("<script>")
  })
})

describe("the configuration", () => {
  test("decides about sign-up, about addresses, about the claim, and about where browsers come back to", async () => {
    const more = [
      "  redirect_url: https://tallygate.example/auth/oidc/callback",
      "  allow_signup: false",
      "  trust_email: true",
      "  groups_claim: realm.roles",
    ].join("\n")
    const strict = await startTestApp(
      config(provider.issuer, more).replace("sandbox: true", "sandbox: true\nsessions: { behind_tls: true }"),
      { databaseUrl: app.databaseUrl },
    )
    try {
      const browser = new Browser(strict.url)
      provider.person = somebody({ groups: ["platform"] })
      const { url } = await browser.follow("/auth/oidc/start", ({ pathname }) => pathname === CALLBACK)
      expect(url.origin).toBe("https://tallygate.example")
      const answer = await browser.get(CALLBACK + url.search)
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("You are no user here yet")])
    } finally {
      await strict.close()
    }
  })
})

test("no secret of the provider's stands in a log, a table or the audit log", async () => {
  const browser = new Browser(app.url)
  const back = await answered(browser)
  const kept = browser.cookies.get(KEPT) ?? ""
  const code = back.searchParams.get("code") ?? ""
  await browser.get(back.href)
  const tables = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'r'`
  const rows = await Promise.all(tables.map(({ name }) => sql`SELECT t::text AS row FROM ${sql(name)} t`))
  const everything = [...app.logged, JSON.stringify(rows)].join("\n")
  for (const secret of [CLIENT_SECRET, kept, kept.split(".")[0] ?? "", code, browser.cookies.get(SESSION) ?? ""]) {
    expect(secret.length).toBeGreaterThan(15)
    expect(everything).not.toContain(secret)
  }
})
