/** Every route of the admin API × every role × every scope × whose thing it is, generated from the router itself. */
import { pino } from "pino"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { permissionOf } from "../../src/admin/access.ts"
import { type AdminApp, adminApp } from "../../src/admin/admin-app.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { DeliveryWorker } from "../../src/alerts/delivery-worker.ts"
import { adminKeys } from "../../src/identity/admin-key.ts"
import { createAdminKey } from "../../src/identity/admin-key-registry.ts"
import { Directory } from "../../src/identity/directory.ts"
import { install } from "../../src/identity/first-run.ts"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { createOrganization } from "../../src/identity/organization-registry.ts"
import { Passwords } from "../../src/identity/password.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import { GRANT_SCOPES, type GrantScope, ROLES, type Role } from "../../src/identity/role.ts"
import { createUser } from "../../src/identity/user-registry.ts"
import { keepPartitions } from "../../src/ledger/partitions.ts"
import { systemClock } from "../../src/platform/clock.ts"
import { namedId, uuidv7Mint } from "../../src/platform/ids.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { Erasure } from "../../src/privacy/erasure.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { HeldJournal, reportParts, shippedPrices } from "../support/report-parts.ts"

/** What roles may do, as the documentation says it and not as the program does. */
const READS = [
  "organizations",
  "projects",
  "users",
  "keys",
  "limits",
  "usage",
  "providers",
  "prices",
  "alerts",
  "periods",
].map((it) => `${it}:read`)
const WRITES = ["organizations", "projects", "users", "keys", "providers", "prices", "admin_keys", "roles"].map(
  (it) => `${it}:write`,
)
const BILLING = ["limits:write", "alerts:write", "periods:write"]
const ADMINS = [
  ...WRITES,
  ...BILLING,
  "usage:write",
  "admin_keys:read",
  "roles:read",
  "audit:read",
  "privacy:read",
  "privacy:write",
]
const MAY: Record<Role, readonly string[]> = {
  viewer: READS,
  billing: [...READS, ...BILLING],
  admin: [...READS, ...ADMINS],
  owner: [...READS, ...ADMINS],
}

/** The things of one project: the own one, a sibling in the same organization, or another tenant's. */
type Things = {
  organization: string
  project: string
  user: string
  account: string
  key: string
  record: string
  adminKey: string
  alertRule: string
  alertChannel: string
  alertDelivery: string
  digest: string
  price: string
}
type Place = "own" | "sibling" | "foreign"
const PLACES: readonly Place[] = ["own", "sibling", "foreign"]

/** The narrowest scope that holds what the route is about; `anywhere`: a list, which is cut to what is visible. */
type Lies = GrantScope | "anywhere"
type Case = {
  lies: Lies
  path?: (things: Things) => readonly string[]
  body?: (things: Things) => unknown
  query?: (things: Things) => string
}

const inPath = (thing: keyof Things, lies: Lies, body?: Case["body"]): Case => ({
  lies,
  path: (things) => [things[thing]],
  ...(body === undefined ? {} : { body }),
})
const list: Case = { lies: "anywhere" }
const named = (lies: Lies, body: Case["body"]): Case => ({ lies, body: body as NonNullable<Case["body"]> })
const PROVIDER = "matrix"
const newProvider = (name: string) => ({ name, dialect: "openai", base_url: "http://provider.example/v1" })
const newPrice = { provider: "openai", model: "gpt-none", rates: { standard: { input: "1", output: "2" } } }
let counter = 0
const fresh = () => `n${counter++}`
const ofOrganization = (things: Things) => `organization_id=${things.organization}`

/** One that is over. */
const month: Case = { lies: "organization", path: () => ["2026-01"] }
const ofCustomer: Case = { lies: "organization", query: (things) => `${ofOrganization(things)}&end_customer=someone` }

const budget = () => ({ window: "month", usd: "5.00" })

const CASES: Record<string, Case> = {
  "POST /admin/v1/organizations": named("installation", () => ({ name: fresh() })),
  "GET /admin/v1/organizations": list,
  "GET /admin/v1/organizations/:id": inPath("organization", "organization"),
  "PATCH /admin/v1/organizations/:id": inPath("organization", "organization", () => ({ name: fresh() })),
  "POST /admin/v1/projects": named("organization", ({ organization }) => ({
    name: fresh(),
    organization_id: organization,
  })),
  "GET /admin/v1/projects": list,
  "GET /admin/v1/projects/:id": inPath("project", "project"),
  "PATCH /admin/v1/projects/:id": inPath("project", "project", () => ({ client: "c" })),
  "PUT /admin/v1/projects/:id/members/:user_id": {
    lies: "project",
    path: ({ project, user }) => [project, user],
  },
  "DELETE /admin/v1/projects/:id/members/:user_id": {
    lies: "project",
    path: ({ project, user }) => [project, user],
  },
  "POST /admin/v1/users": named("organization", ({ organization }) => ({
    name: fresh(),
    organization_id: organization,
  })),
  "GET /admin/v1/users": list,
  "GET /admin/v1/users/:id": inPath("user", "organization"),
  "PATCH /admin/v1/users/:id": inPath("user", "organization", () => ({ name: fresh() })),
  "POST /admin/v1/users/:id/erase": inPath("user", "organization"),
  "PUT /admin/v1/users/:id/password": inPath("user", "organization", () => ({ password: null })),
  "POST /admin/v1/service-accounts": named("organization", ({ organization }) => ({
    name: fresh(),
    organization_id: organization,
  })),
  "GET /admin/v1/service-accounts": list,
  "GET /admin/v1/service-accounts/:id": inPath("account", "organization"),
  "PATCH /admin/v1/service-accounts/:id": inPath("account", "organization", () => ({ name: fresh() })),
  "POST /admin/v1/service-accounts/:id/erase": inPath("account", "organization"),
  "GET /admin/v1/users/:id/export": inPath("user", "organization"),
  "GET /admin/v1/users/:id/erase": inPath("user", "organization"),
  "GET /admin/v1/service-accounts/:id/export": inPath("account", "organization"),
  "GET /admin/v1/service-accounts/:id/erase": inPath("account", "organization"),
  "GET /admin/v1/end-customers/export": ofCustomer,
  "GET /admin/v1/end-customers/erase": ofCustomer,
  "POST /admin/v1/end-customers/erase": named("organization", ({ organization }) => ({
    organization_id: organization,
    end_customer: fresh(),
  })),
  "GET /admin/v1/organizations/:id/retention": inPath("organization", "organization"),
  "GET /admin/v1/users/:id/roles": inPath("user", "organization"),
  "PUT /admin/v1/users/:id/roles": inPath("user", "organization", ({ project }) => ({
    role: "viewer",
    scope: { project_id: project },
  })),
  "DELETE /admin/v1/users/:id/roles": inPath("user", "organization", ({ project }) => ({
    scope: { project_id: project },
  })),
  "POST /admin/v1/keys": named("project", ({ project }) => ({ name: fresh(), project_id: project })),
  "GET /admin/v1/keys": list,
  "GET /admin/v1/keys/:id": inPath("key", "project"),
  "PATCH /admin/v1/keys/:id": inPath("key", "project", () => ({ name: fresh() })),
  "POST /admin/v1/keys/:id/rotate": inPath("key", "project", () => ({})),
  "POST /admin/v1/keys/:id/revoke": inPath("key", "project"),
  "POST /admin/v1/limits": named("project", ({ key }) => ({
    scope: { key_id: key },
    kind: "requests",
    window: "day",
    cap: 5,
  })),
  "GET /admin/v1/limits": list,
  "GET /admin/v1/limits/:id": inPath("key", "project"),
  "PATCH /admin/v1/limits/:id": { ...inPath("key", "project", () => ({ cap: 6 })) },
  "DELETE /admin/v1/limits/:id": { ...inPath("key", "project") },
  "POST /admin/v1/limits/:id/raises": {
    ...inPath("key", "project", () => ({ cap: 17, until: new Date(Date.now() + 60_000).toISOString() })),
  },
  "DELETE /admin/v1/limits/:id/raises": { ...inPath("key", "project") },
  "GET /admin/v1/limits/:id/windows": inPath("key", "project"),
  "GET /admin/v1/organizations/:id/budget": inPath("organization", "organization"),
  "PATCH /admin/v1/organizations/:id/budget": inPath("organization", "organization", budget),
  "GET /admin/v1/projects/:id/budget": inPath("project", "project"),
  "PATCH /admin/v1/projects/:id/budget": inPath("project", "project", budget),
  "POST /admin/v1/projects/:id/budget/preset": inPath("project", "project"),
  "GET /admin/v1/users/:id/budget": inPath("user", "organization"),
  "PATCH /admin/v1/users/:id/budget": inPath("user", "organization", budget),
  "GET /admin/v1/keys/:id/budget": inPath("key", "project"),
  "PATCH /admin/v1/keys/:id/budget": inPath("key", "project", budget),
  "GET /admin/v1/providers/:name/accounts/:account/budget": { lies: "installation", path: () => [PROVIDER, "a"] },
  "PATCH /admin/v1/providers/:name/accounts/:account/budget": {
    ...named("installation", budget),
    path: () => [PROVIDER, "a"],
  },
  "POST /admin/v1/admin-keys": named("project", ({ project }) => ({
    name: fresh(),
    role: "viewer",
    scope: { project_id: project },
  })),
  "GET /admin/v1/admin-keys": list,
  "POST /admin/v1/admin-keys/:id/revoke": inPath("adminKey", "project"),
  "POST /admin/v1/users/import": { lies: "organization", query: ofOrganization, body: () => [] },
  "POST /admin/v1/keys/import": { lies: "organization", query: ofOrganization, body: () => [] },
  "GET /admin/v1/providers": { lies: "installation" },
  "POST /admin/v1/providers": named("installation", () => newProvider(fresh())),
  "GET /admin/v1/providers/:name": { lies: "installation", path: () => [PROVIDER] },
  "PATCH /admin/v1/providers/:name": { ...named("installation", () => ({ region: "eu" })), path: () => [PROVIDER] },
  "DELETE /admin/v1/providers/:name": { lies: "installation", path: () => [PROVIDER] },
  "POST /admin/v1/providers/:name/accounts": {
    ...named("installation", () => ({ name: fresh(), api_key: "sk-x" })),
    path: () => [PROVIDER],
  },
  "PATCH /admin/v1/providers/:name/accounts/:account": {
    ...named("installation", () => ({ weight: 2 })),
    path: () => [PROVIDER, "a"],
  },
  "DELETE /admin/v1/providers/:name/accounts/:account": { lies: "installation", path: () => [PROVIDER, "a"] },
  "GET /admin/v1/prices": list,
  "POST /admin/v1/prices": named("installation", () => newPrice),
  "GET /admin/v1/prices/:id": inPath("price", "organization"),
  "POST /admin/v1/prices/:id/end": { ...named("installation", () => ({})), path: ({ price }) => [price] },
  "GET /admin/v1/prices/effective": {
    lies: "organization",
    query: (things) => `${ofOrganization(things)}&provider=openai&model=gpt-4o`,
  },
  "POST /admin/v1/prices/import": named("installation", () => ({ "gpt-none": { litellm_provider: "openai" } })),
  "GET /admin/v1/organizations/:id/price-terms": inPath("organization", "organization"),
  "PUT /admin/v1/organizations/:id/price-terms": {
    ...named("installation", () => ({ markup_percent: "1" })),
    path: ({ organization }) => [organization],
  },
  "DELETE /admin/v1/organizations/:id/price-terms/:terms_id": {
    lies: "installation",
    path: ({ organization }) => [organization, "trm_ofRoutes"],
  },
  "GET /admin/v1/audit": list,
  "GET /admin/v1/audit/export": list,
  "POST /admin/v1/alert-rules": named("project", ({ project }) => ({
    scope: { project_id: project },
    kind: "threshold",
    name: fresh(),
  })),
  "GET /admin/v1/alert-rules": list,
  "GET /admin/v1/alert-rules/:id": inPath("alertRule", "organization"),
  "PATCH /admin/v1/alert-rules/:id": inPath("alertRule", "organization", () => ({ name: fresh() })),
  "DELETE /admin/v1/alert-rules/:id": inPath("alertRule", "organization"),
  "POST /admin/v1/alert-channels": named("organization", ({ organization }) => ({
    scope: { organization_id: organization },
    kind: "email",
    name: fresh(),
    recipients: ["ops@example.com"],
  })),
  "GET /admin/v1/alert-channels": list,
  "GET /admin/v1/alert-channels/:id": inPath("alertChannel", "organization"),
  "PATCH /admin/v1/alert-channels/:id": inPath("alertChannel", "organization", () => ({ name: fresh() })),
  "DELETE /admin/v1/alert-channels/:id": inPath("alertChannel", "organization"),
  "POST /admin/v1/alert-channels/:id/test": inPath("alertChannel", "organization"),
  "GET /admin/v1/alert-channels/:id/preview": inPath("alertChannel", "organization"),
  "GET /admin/v1/alerts": list,
  "GET /admin/v1/alert-deliveries": list,
  "GET /admin/v1/holds": list,
  "GET /admin/v1/alert-deliveries/:id": inPath("alertDelivery", "organization"),
  "POST /admin/v1/alert-deliveries/:id/redeliver": inPath("alertDelivery", "organization"),
  "POST /admin/v1/digests": named("organization", ({ organization }) => ({
    scope: { organization_id: organization },
    name: fresh(),
    period: "weekly",
  })),
  "GET /admin/v1/digests": list,
  "GET /admin/v1/digests/:id": inPath("digest", "organization"),
  "PATCH /admin/v1/digests/:id": inPath("digest", "organization", () => ({ name: fresh() })),
  "DELETE /admin/v1/digests/:id": inPath("digest", "organization"),
  "POST /admin/v1/digests/:id/send": inPath("digest", "organization"),
  "GET /admin/v1/digests/:id/preview": inPath("digest", "organization"),
  "GET /admin/v1/budgets/check": list,
  "POST /admin/v1/budgets/check": list,
  "GET /admin/v1/usage/summary": list,
  "GET /admin/v1/usage/series": list,
  "GET /admin/v1/usage/records": list,
  "GET /admin/v1/usage/records/:id": inPath("record", "project"),
  "POST /admin/v1/usage/records": named("project", ({ project }) => ({
    project_id: project,
    provider: "openai",
    model: "gpt-4o",
    input_tokens: 1,
  })),
  "GET /admin/v1/usage/records/:id/explain": inPath("record", "project"),
  "POST /admin/v1/usage/records/:id/adjustments": inPath("record", "project", () => ({
    cost_usd: "0.01",
    reason: "a correction",
  })),
  "GET /admin/v1/usage/export": list,
  "GET /admin/v1/usage/stream": list,
  "GET /admin/v1/usage/projection": list,
  "GET /admin/v1/prices/models": list,
  "GET /admin/v1/prices/unpriced": list,
  "POST /admin/v1/prices/reprice": named("organization", ({ organization }) => ({
    organization_id: organization,
    from: "2026-01-01",
    until: "2026-01-02",
    dry_run: false,
  })),
  "GET /admin/v1/periods": { lies: "organization", query: ofOrganization },
  "GET /admin/v1/periods/:period": { ...month, query: ofOrganization },
  "POST /admin/v1/periods/:period/close": { ...month, body: ({ organization }) => ({ organization_id: organization }) },
}

const ACTOR = { name: "test", ip: "" }
let sql: Sql
let reports: ReturnType<typeof reportParts>
let directory: Directory
let app: AdminApp
const things = {} as Record<Place, Things>
const secrets = {} as Record<Role, Record<GrantScope, string>>

beforeAll(async () => {
  const url = await createDatabase(inject("postgresUrl"))
  sql = openPostgres(url, { max: 4, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  const log = pino({ level: "silent" })
  await (await keepPartitions({ sql, clock: systemClock, log })).stop()
  directory = new Directory({
    openPostgres: () => openPostgres(url, { max: 2, applicationName: "test" }),
    clock: systemClock,
    log,
    keysMax: 10,
    unconfirmedMsMax: 1_000,
  })
  const [own, foreign] = [await organization(), await organization()]
  things.own = await makeThings(own)
  things.sibling = await makeThings(own)
  things.foreign = await makeThings(foreign)
  const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
  reports = reportParts(url)
  const book = reports.process(new HeldJournal())
  app = adminApp({
    sql,
    reports: {
      book,
      holds: reports.holds,
      repricer: reports.repricer(sql, book),
      oldestUnshippedMs: () => null,
    },
    clock: systemClock,
    log,
    directory,
    metricsPage: async () => "",
    version: "test",
    mintId: uuidv7Mint(),
    organizationId: own,
    identifyAdmin: adminKeys(sql, null),
    readiness: () => ({ isReady: true, parts: {} }),
    findSheet: () => undefined,
    providers: { configured: () => [], box, unusable: () => [] },
    alerts: {
      worker: new DeliveryWorker({ sql, clock: systemClock, log, box, mail: null, allowPrivate: false }),
      baseUrl: null,
      allowsPrivate: false,
    },
    prices: shippedPrices,
    privacy: {
      erasure: new Erasure({ sql, log, changed: () => directory.changed(), renameCounters: async () => undefined }),
      defaultRetentionDays: null,
    },
    counters: { readings: new MemoryLimitStore(systemClock.nowMs), isShared: false },
    login: {
      environmentKey: null,
      hoursMax: 12,
      isBehindTls: false,
      passwords: new Passwords({ waitingMax: 1 }),
      oidc: null,
    },
  })
  for (const role of ROLES) {
    secrets[role] = {} as Record<GrantScope, string>
    for (const scope of GRANT_SCOPES) {
      const scopeId = { installation: "", organization: things.own.organization, project: things.own.project }[scope]
      const key = await createAdminKey(sql, ACTOR, { name: "k", role, scope, scopeId, expiresAt: null })
      secrets[role][scope] = key.secret
    }
  }
})
afterAll(async () => {
  await directory?.stop()
  await reports?.close()
  await sql?.end()
})

async function organization(): Promise<string> {
  return done(await createOrganization(sql, ACTOR, { name: fresh() })).id
}

async function makeThings(organizationId: string): Promise<Things> {
  const project = done(await createProject(sql, ACTOR, organizationId, { name: fresh() })).id
  const projectIds: string[] = []
  const user = done(await createUser(sql, ACTOR, { organizationId, kind: "person", name: "u", projectIds })).id
  const robot = { organizationId, kind: "service_account", name: "s", projectIds } as const
  const account = done(await createUser(sql, ACTOR, robot)).id
  const key = await createVirtualKey(sql, ACTOR, {
    name: "k",
    organizationId,
    projectId: project,
    userId: user,
    limits: [],
  })
  if (key.kind !== "created") throw new Error(key.kind)
  const viewer = { name: "k", role: "viewer", scope: "project", scopeId: project, expiresAt: null } as const
  const adminKey = (await createAdminKey(sql, ACTOR, viewer)).row.id
  const record = uuidv7Mint()(Date.now())
  await sql`
    INSERT INTO usage_records (id, time, organization_id, project_id, key_id)
    VALUES (${record}, now(), ${organizationId}, ${project}, ${key.row.id})`
  const alertDelivery = uuidv7Mint()(Date.now())
  const alerts = {
    alertRule: namedId("rule"),
    alertChannel: namedId("chan"),
    alertDelivery,
    digest: namedId("dig"),
    price: namedId("prc"),
  }
  return { organization: organizationId, project, user, account, key: key.row.id, record, adminKey, ...alerts }
}

function done<Row>(made: { kind: "done"; row: Row } | { kind: string }): Row {
  if (!("row" in made)) throw new Error(made.kind)
  return made.row
}

/** Asks as a connection from this machine does. */
async function ask(secret: string, method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" }
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  return app.request(path, init, { incoming: { socket: { remoteAddress: "127.0.0.1" } } })
}

/** There, with an account, before each call that is about one: calls delete it. */
async function makeProvider(): Promise<void> {
  const owner = secrets.owner.installation
  await ask(owner, "POST", "/admin/v1/providers", newProvider(PROVIDER))
  await ask(owner, "POST", `/admin/v1/providers/${PROVIDER}/accounts`, { name: "a", api_key: "sk-x" })
}

/** There before each call that is about one: calls delete them. */
async function makeAlertThings(of: Things): Promise<void> {
  const { organization, alertRule, alertChannel, alertDelivery, digest } = of
  await sql`
    INSERT INTO digests (id, organization_id, name, period, schedule, time_zone, due_from)
    VALUES (${digest}, ${organization}, 'd', 'daily', '0 8 * * *', 'UTC', now()) ON CONFLICT DO NOTHING`
  await sql`
    INSERT INTO alert_rules (id, organization_id, kind, name) VALUES (${alertRule}, ${organization}, 'threshold', 'r')
    ON CONFLICT DO NOTHING`
  await sql`
    INSERT INTO alert_channels (id, organization_id, kind, name, recipients)
    VALUES (${alertChannel}, ${organization}, 'email', 'c', '{ops@example.com}') ON CONFLICT DO NOTHING`
  await sql`
    INSERT INTO alert_deliveries (id, organization_id, rule_id, channel_id, message, next_attempt_at, retry_until)
    VALUES (${alertDelivery}, ${organization}, ${alertRule}, ${alertChannel}, '{"title": "t"}', now(), now())
    ON CONFLICT DO NOTHING`
}

/** There before each call that is about one, and not ended: calls end them. */
async function makePrices({ organization, price }: Things): Promise<void> {
  const rates = JSON.stringify({ rates: newPrice.rates })
  await sql`
    INSERT INTO prices (id, organization_id, provider, model, price, source, effective_from, created_by)
    VALUES (${price}, ${organization}, 'openai', 'gpt-none', ${rates}::text::json, 's', now(), 'test')
    ON CONFLICT (id) DO UPDATE SET ended_at = NULL`
  await sql`
    INSERT INTO price_terms (id, organization_id, effective_from, created_by)
    VALUES ('trm_ofRoutes', ${organization}, now(), 'test')
    ON CONFLICT (id) DO UPDATE SET ended_at = NULL, organization_id = EXCLUDED.organization_id`
}

/** Limits are used up by their deletion, and raises by their end, so each call gets one of its own. */
async function limitOn(key: string, organizationId: string): Promise<string> {
  const subject = { organizationId, scope: "key", subject: key } as const
  await sql`DELETE FROM limits WHERE subject = ${key}`
  const made = await createLimit(sql, ACTOR, subject, { kind: "requests", window: "day", cap: 9n })
  if (made.kind !== "created") throw new Error(made.kind)
  await sql`UPDATE limits SET raised_cap = 10, raised_until = now() + interval '1 hour' WHERE id = ${made.row.id}`
  return made.row.id
}

async function call(route: string, { path, body, query }: Case, of: Things, secret: string): Promise<number> {
  const [method = "", pattern = ""] = route.split(" ")
  const isLimit = pattern.includes("/limits/:id")
  const values = isLimit ? [await limitOn(of.key, of.organization)] : [...(path?.(of) ?? [])]
  const url = pattern.replace(/:\w+/g, () => values.shift() ?? "") + (query === undefined ? "" : `?${query(of)}`)
  if (pattern.includes("/providers/:name")) await makeProvider()
  if (/\/(alert-|digests)/.test(pattern)) await makeAlertThings(of)
  if (/\/price(s|-terms)\//.test(pattern)) await makePrices(of)
  const response = await ask(secret, method, url, body?.(of))
  // A stream does not end by itself.
  if (route.endsWith("/stream")) await response.body?.cancel()
  else await response.text()
  return response.status
}

/** 404 for what the caller cannot read at all, 403 for what it may read and not do, else what the route answers. */
function expected(permission: string, lies: Lies, role: Role, scope: GrantScope, place: Place): 403 | 404 | "passes" {
  const may = MAY[role].includes(permission)
  if (lies === "anywhere") return may ? "passes" : 403
  const covers =
    scope === "installation" ||
    (lies === "organization" && scope === "organization" && place !== "foreign") ||
    (lies === "project" && (scope === "organization" ? place !== "foreign" : place === "own"))
  if (lies === "installation") return covers && may ? "passes" : 403
  const mayRead = MAY[role].includes(permission.replace(/:.*/, ":read"))
  return covers && may ? "passes" : covers && mayRead ? 403 : 404
}

const routes = () => {
  const found = new Map<string, string | null>()
  for (const { method, path, handler } of app.routes) {
    if (!path.startsWith("/admin/v1/")) continue
    const route = `${method} ${path}`
    found.set(route, permissionOf(handler) ?? found.get(route) ?? null)
  }
  return found
}

test("every route of the admin API names its permission, and stands in this table and in the OpenAPI page", async () => {
  const found = routes()
  expect([...found].filter(([, permission]) => permission === null)).toEqual([])
  expect([...found.keys()].sort()).toEqual(Object.keys(CASES).sort())
  const { paths } = (await (await app.request("/openapi.json")).json()) as { paths: Record<string, object> }
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")}`),
  )
  expect(described.filter((route) => route.includes(" /admin/")).sort()).toEqual(Object.keys(CASES).sort())
})

test("without a credential, or with one that nobody issued, every route is 401", async () => {
  for (const [route, about] of Object.entries(CASES)) {
    for (const secret of ["", "tga_0", "nobody's"])
      expect([route, await call(route, about, things.own, secret)]).toEqual([route, 401])
  }
})

describe.each(ROLES)("the role %s", (role) => {
  test.each(GRANT_SCOPES)("over its %s", async (scope) => {
    const wrong: unknown[] = []
    const permissions = routes()
    for (const [route, about] of Object.entries(CASES)) {
      for (const place of about.lies === "anywhere" || about.lies === "installation" ? (["own"] as const) : PLACES) {
        const wanted = expected(permissions.get(route) ?? "", about.lies, role, scope, place)
        const status = await call(route, about, things[place], secrets[role][scope])
        const isRight = wanted === "passes" ? ![401, 403, 404, 500].includes(status) : status === wanted
        // A member that is removed twice, and a role that is taken twice, are not there the second time.
        const isGone = wanted === "passes" && status === 404 && /^DELETE .*\/(members|roles)/.test(route)
        if (!isRight && !isGone) wrong.push({ route, place, wanted, status })
      }
    }
    expect(wrong).toEqual([])
  })
})

test("lists contain nothing of another tenant, and a project's nothing of its sibling", async () => {
  const listed = async (path: string, secret: string) => {
    const response = await ask(secret, "GET", `/admin/v1/${path}`)
    return JSON.stringify(await response.json())
  }
  const ids = (place: Place) => Object.values(things[place])
  for (const path of [
    "organizations",
    "projects",
    "users",
    "service-accounts",
    "keys",
    "limits",
    "admin-keys",
    "audit",
    "alert-rules",
    "alert-channels",
    "alert-deliveries",
    "alerts",
    "digests",
    "budgets/check",
  ]) {
    const ofOrganization = await listed(path, secrets.owner.organization)
    const ofProject = await listed(path, secrets.owner.project)
    for (const id of ids("foreign")) expect([path, ofOrganization.includes(id)]).toEqual([path, false])
    const others = [...ids("foreign"), ...ids("sibling")]
    for (const id of others)
      expect([path, ofProject.includes(`"${id}"`) && id !== things.own.organization]).toEqual([path, false])
  }
})

describe("nobody rises above the own role", () => {
  const as = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).status
  test("an admin makes no owner's key, gives no owner's role, and takes none", async () => {
    const scope = { organization_id: things.own.organization }
    const roles = `/admin/v1/users/${things.own.user}/roles`
    const [admin, owner] = [secrets.admin.organization, secrets.owner.organization]
    expect(await as(admin, "POST", "/admin/v1/admin-keys", { name: "k", role: "owner", scope })).toBe(403)
    expect(await as(admin, "PUT", roles, { role: "owner", scope })).toBe(403)
    expect(await as(owner, "PUT", roles, { role: "owner", scope })).toBe(200)
    expect(await as(admin, "PUT", roles, { role: "viewer", scope })).toBe(403)
    expect(await as(admin, "DELETE", roles, { scope })).toBe(403)
    expect(await as(owner, "DELETE", roles, { scope })).toBe(200)
  })
  test("an organization's owner gives nothing over the installation or another organization", async () => {
    const owner = secrets.owner.organization
    const foreign = { organization_id: things.foreign.organization }
    expect(await as(owner, "POST", "/admin/v1/admin-keys", { name: "k", role: "viewer", scope: {} })).toBe(403)
    expect(await as(owner, "POST", "/admin/v1/admin-keys", { name: "k", role: "viewer", scope: foreign })).toBe(404)
    const roles = `/admin/v1/users/${things.own.user}/roles`
    expect(await as(owner, "PUT", roles, { role: "viewer", scope: {} })).toBe(403)
    expect(await as(owner, "PUT", roles, { role: "viewer", scope: foreign })).toBe(403)
    expect(await as(owner, "PATCH", `/admin/v1/organizations/${things.own.organization}`, { disabled: true })).toBe(403)
  })
})
