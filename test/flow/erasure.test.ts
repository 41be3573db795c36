/**
 * One person leaves, in both ways in which Tallygate knows persons: as a user, and as an end-customer whom callers name.
 * Two proxies on one Postgres and one Redis; what is searched for afterwards is searched for in all of it.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { Quarantine } from "../../src/ledger/quarantine.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { filesHolding, formsOf, redisKeysHolding, tablesHolding } from "../support/searched.ts"
import { ADMIN_KEY, pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

/** With what names may have: a blank, a percent sign, a quote. */
const CUSTOMER = 'ada 100% "the" countess@customer.example'
const COUNTED = CUSTOMER.replaceAll("%", "%25").replaceAll(" ", "%20")
const FORMS = [CUSTOMER, COUNTED]
const USER = { name: "Ada Lovelace-King", email: "ada@user.example", external_id: "hr-ada-1815" }
const USER_WORDS = Object.values(USER)
const CAP = 5
const WAIT_MS_MAX = 30_000
const mintId = uuidv7Mint()

type Line = { table: string; row: Record<string, unknown> }

let folder: string
let databaseUrl: string
let upstream: FakeUpstream
let redis: ConnectedRedis
let sql: Sql
const apps: TestApp[] = []
let key: { id: string; key: string }
let user: string
let organization: string
let backupFile: string
let pseudonym: string
let env: Record<string, string>

const one = () => apps[0] as TestApp
const other = () => apps[1] as TestApp
const dataDir = (place: number) => path.join(folder, `proxy-${place}`)

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-erasure-"))
  for (const place of [0, 1]) mkdirSync(dataDir(place))
  databaseUrl = await createDatabase(inject("postgresUrl"))
  upstream = await startFakeUpstream()
  redis = await startConnectedRedis()
  sql = openPostgres(databaseUrl, { max: 2, applicationName: "test" })
  env = { DATABASE_URL: databaseUrl, TALLYGATE_DATA: dataDir(0) }
  await startBoth()
  await fill()
  backupFile = path.join(folder, "before.ndjson.gz")
  await command(["backup", "--out", backupFile])
}, 60_000)
afterAll(async () => {
  await stopBoth()
  await sql?.end()
  await redis?.stop()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function startBoth(): Promise<void> {
  const yaml = pricedConfig(upstream.baseUrl)
  for (const place of [0, 1]) {
    apps.push(await startTestApp(yaml, { databaseUrl, dataDir: dataDir(place), redisUrl: redis.url }))
  }
}

async function stopBoth(): Promise<void> {
  for (const app of apps.splice(0)) await app.close()
}

async function command(words: string[]): Promise<Record<string, unknown>> {
  const { exitCode, stdout, stderr } = await tallygate([...words, "--json"], { env, cwd: folder })
  expect([exitCode, stderr], stdout).toEqual([0, ""])
  return JSON.parse(stdout)
}

async function call(app: TestApp): Promise<number> {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key.key}`,
      "x-tallygate-conversation": `talk with ${CUSTOMER}`,
      "x-tallygate-metadata": `who=${CUSTOMER}`,
      "x-tallygate-tags": `for:${CUSTOMER}`,
      "x-request-id": `of-${CUSTOMER}`,
    },
    body: JSON.stringify({ model: "mock-p10-o10", user: CUSTOMER, messages: [{ role: "user", content: "hi" }] }),
  })
  await response.text()
  return response.status
}

function report(idempotency_key: string): Promise<Response> {
  const said = { provider: "mock", model: "mock", input_tokens: 1, end_customer: CUSTOMER, tags: [CUSTOMER] }
  return fetch(`${one().url}/v1/usage`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...said, idempotency_key }),
  })
}

/** A person in every table, and a limit for each end-customer of which the last call but two is used. */
async function fill(): Promise<void> {
  const { admin } = one()
  user = (await admin("POST", "/admin/v1/users", USER)).body.id
  key = await one().createKey({ name: `laptop of ${USER.name}`, user_id: user, tags: [USER.external_id] } as never)
  organization = (await sql<{ id: string }[]>`SELECT id FROM organizations`)[0]?.id ?? ""
  const scope = { organization_id: organization }
  const limit = { scope: { ...scope, each: "end_customer" }, kind: "requests", window: "month", cap: CAP }
  expect(await admin("POST", "/admin/v1/limits", limit)).toMatchObject({ status: 201 })
  const recipients = [USER.email, "ops@example.com"]
  await admin("POST", "/admin/v1/alert-channels", { scope, kind: "email", name: "mail", recipients })
  expect([await call(one()), await call(other())]).toEqual([200, 200])
  const reported = await report("once-1")
  expect(reported.status, await reported.text()).toBe(201)
  await one().records(3)
  await plant()
}

/** What would take long to bring about: alerts and their messages, a batch that is awaited, holds, a record that was refused. */
async function plant(): Promise<void> {
  const [limit] = await sql<{ limit_id: string; subject: string; window_id: string }[]>`
    SELECT limit_id, subject, window_id FROM limit_usage`
  const { limit_id, subject, window_id } = limit ?? { limit_id: "", subject: "", window_id: "" }
  const message = {
    title: `${USER.name} and end_customer ${CUSTOMER}`,
    folded: [COUNTED],
    contributors: [{ name: `key laptop of ${USER.name}` }],
  }
  const facts = JSON.stringify(message)
  await sql`
    INSERT INTO alerts (organization_id, limit_id, subject, window_id, threshold_percent, settled, cap, facts)
    VALUES (${organization}, ${limit_id}, ${subject}, ${window_id}, 50, 3, 5, ${facts}::text::jsonb)`
  await sql`INSERT INTO alert_subjects VALUES ('rule_default', ${organization}, ${limit_id}, ${subject})`
  await sql`
    INSERT INTO alert_deliveries (id, organization_id, rule_id, channel_id, message, next_attempt_at, retry_until, user_id,
      arrived, last_error, state)
    VALUES (gen_random_uuid(), ${organization}, 'rule_default', 'c', ${facts}::text::jsonb, now(), now(), ${user},
      ${[USER.email]}::text[], ${`550 ${USER.email} unknown`}, 'failed')`
  await sql`INSERT INTO limit_refusals VALUES (${limit_id}, ${subject}, ${window_id}, 7, 0)`
  await sql`INSERT INTO digests (id, name, period, schedule, time_zone, due_from) VALUES ('d', 'd', 'daily', '0 8 * * *', 'UTC', now())`
  await sql`INSERT INTO digest_runs VALUES ('d', '2026-11-23', 'planted', ${`user,usd\n${USER.name},1`}, now())`
  const record = sampleRecord({
    organization_id: organization,
    user_id: user,
    end_customer: CUSTOMER,
    metadata: { who: CUSTOMER },
  })
  record.charges = [{ limit_id, subject, window: window_id, amount: "1" }]
  await sql`
    INSERT INTO provider_objects (provider, id, kind, organization_id, project_id, key_id, booking)
    VALUES ('mock', 'batch_1', 'batch', ${organization}, 'p', ${key.id}, ${JSON.stringify({ record })}::text::jsonb)`
  const charges = [{ limit: { id: limit_id, subject, cap: "5" }, window: window_id, amount: "1" }]
  await sql`
    INSERT INTO usage_holds VALUES (gen_random_uuid(), ${organization}, ${key.id}, ${JSON.stringify(charges)}::text::jsonb, now() + interval '1 hour')`
  const unsettled = { ...record, id: mintId(Date.now()) }
  await sql`
    INSERT INTO usage_once (organization_id, source, key, record_id, record_time, fingerprint, body)
    VALUES (${organization}, ${`key:${key.id}`}, 'k', ${unsettled.id}, now(), '', ${JSON.stringify(unsettled)})`
  new Quarantine(path.join(dataDir(1), "journal")).add(
    mintId(Date.now()),
    { seq: 1, body: JSON.stringify(record) },
    { sqlState: "22", message: "planted" },
  )
}

async function exported(route: string): Promise<Line[]> {
  const response = await fetch(`${one().url}${route}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  expect(response.status).toBe(200)
  const lines = (await response.text()).split("\n").filter((line) => line !== "")
  return lines.map((line) => JSON.parse(line) as Line)
}
const tablesOf = (lines: readonly Line[]) => [...new Set(lines.map(({ table }) => table))].sort()
const ofCustomer = (value: string) => `organization_id=${organization}&end_customer=${encodeURIComponent(value)}`

/** What adds up, whatever it is called. */
async function sums(): Promise<Record<string, unknown>> {
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM usage_records) AS records, (SELECT sum(cost_usd)::text FROM usage_records) AS cost,
           (SELECT sum(settled)::text FROM limit_usage) AS settled, (SELECT sum(refused)::text FROM limit_refusals) AS refused,
           (SELECT sum(records)::text FROM usage_rollups) AS rolled, (SELECT sum(charged_nanos)::text FROM usage_rollups) AS nanos`
  return { ...row }
}

test("an export of a user holds what stands of the person in every table, and no secret", async () => {
  const lines = await exported(`/admin/v1/users/${user}/export`)
  const holding = await tablesHolding(sql, [...USER_WORDS, user])
  const without = ["digest_runs", "erased_users", "usage_day", "usage_series"]
  expect(holding.filter((table) => !tablesOf(lines).includes(table) && !without.includes(table))).toEqual([])
  expect(lines.filter(({ table }) => table === "usage_records")).toHaveLength(3)
  expect(lines.find(({ table }) => table === "users")?.row).toMatchObject({ name: USER.name, email: USER.email })
  const text = JSON.stringify(lines)
  for (const secret of ["secret_sha256", "password_hash", "fingerprint", key.key]) expect(text).not.toContain(secret)
  expect(text).not.toContain("ops@example.com")
  const file = path.join(folder, "person.ndjson")
  const cli = { env: { TALLYGATE_URL: one().url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }, cwd: folder }
  expect(await tallygate(["users", "export", user, "--out", file], cli)).toMatchObject({ exitCode: 0 })
  expect(filesHolding(folder, [USER.email])).toContain("person.ndjson")
  rmSync(file)
})

test("the search that the other tests rest on finds the name in Redis and in the files", async () => {
  expect(await redisKeysHolding(redis.client, FORMS)).not.toEqual([])
  expect(filesHolding(dataDir(0), FORMS)).not.toEqual([])
  expect(filesHolding(dataDir(1), FORMS)).toContain("journal/quarantine.sqlite")
  expect(filesHolding(folder, FORMS)).toContain("before.ndjson.gz")
})

test("an export of an end-customer holds every table in which the name stands", async () => {
  const lines = await exported(`/admin/v1/end-customers/export?${ofCustomer(CUSTOMER)}`)
  expect(tablesOf(lines)).toEqual(await tablesHolding(sql, FORMS))
  expect(lines.filter(({ table }) => table === "usage_records")).toHaveLength(3)
  expect(await exported(`/admin/v1/end-customers/export?${ofCustomer("nobody-of-this-name")}`)).toEqual([])
})

test("ids of this installation, and what stands for nobody, are no end-customers to erase", async () => {
  for (const end_customer of ["nobody", user, key.id, organization]) {
    const body = { organization_id: organization, end_customer }
    expect(await one().admin("POST", "/admin/v1/end-customers/erase", body)).toMatchObject({
      status: 400,
      body: { error: { param: "end_customer" } },
    })
  }
})

test("an erased end-customer is nowhere any more, and every sum is what it was", async () => {
  const before = await sums()
  const preview = await one().admin("GET", `/admin/v1/end-customers/erase?${ofCustomer(CUSTOMER)}`)
  expect((preview.body as unknown as { counts: object }).counts).toMatchObject({
    records: 3,
    limit_usage: 1,
    alerts: 1,
    usage_once: 2,
  })
  expect(await sums()).toEqual(before)
  const body = { organization_id: organization, end_customer: CUSTOMER }
  const erased = (await one().admin("POST", "/admin/v1/end-customers/erase", body)).body as unknown as {
    pseudonym: string
    state: string
    counts: Record<string, number>
  }
  expect(erased).toMatchObject({
    state: "done",
    counts: { records: 3, limit_usage: 1, provider_objects: 1, usage_holds: 1 },
  })
  pseudonym = erased.pseudonym
  expect(await tablesHolding(sql, FORMS)).toEqual([])
  expect(await sums()).toEqual(before)
  const again = await other().admin("POST", "/admin/v1/end-customers/erase", body)
  expect(again.body).toMatchObject({ pseudonym, state: "done" })
  const audit = await one().admin("GET", `/admin/v1/audit?subject=${pseudonym}`)
  expect((audit.body.data as unknown as { action: string }[]).map(({ action }) => action)).toContain(
    "end_customer.erased",
  )
})

test("neither counters nor the files of any proxy know the name", async () => {
  await until(async () => ((await redisKeysHolding(redis.client, FORMS)).length === 0 ? true : undefined), WAIT_MS_MAX)
  await until(
    async () =>
      filesHolding(path.join(dataDir(1), "journal"), FORMS).filter((file) => file.startsWith("quarantine")).length === 0
        ? true
        : undefined,
    WAIT_MS_MAX,
  )
})

test("a later call under the name is counted on under the pseudonym, by every proxy", async () => {
  // Three of five were used.
  await until(async () => ((await call(other())) === 200 ? true : undefined), WAIT_MS_MAX)
  expect(await call(one())).toBe(200)
  expect([await call(one()), await call(other())]).toEqual([429, 429])
  await until(async () => ((await sums()).refused === "9" ? true : undefined), WAIT_MS_MAX)
  await one().records(5)
  const rows = await sql`SELECT DISTINCT end_customer FROM usage_records`
  expect(rows.map(({ end_customer }) => end_customer)).toEqual([pseudonym])
  expect(await tablesHolding(sql, FORMS)).toEqual([])
})

test("a report under the name that is sent again is a repetition, and a new one is of the pseudonym", async () => {
  const again = await report("once-1")
  expect([again.status, await again.json()]).toMatchObject([200, { duplicate: true }])
  const late = await report("once-2")
  expect([late.status, await late.json()]).toMatchObject([201, { duplicate: false }])
  await one().records(6)
  expect(await tablesHolding(sql, FORMS)).toEqual([])
})

test("a call that runs while its end-customer is erased is recorded and charged under the pseudonym", async () => {
  const name = "running@customer.example"
  const running = await fetch(`${other().url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "x-tallygate-conversation": name },
    body: JSON.stringify({
      ...{ model: "mock-p10-c4-d150", stream: true, user: name },
      messages: [{ role: "user", content: "hi" }],
    }),
  })
  const body = { organization_id: organization, end_customer: name }
  const erased = await one().admin("POST", "/admin/v1/end-customers/erase", body)
  const { pseudonym: runningAs } = erased.body as unknown as { pseudonym: string }
  await running.text()
  await one().records(7)
  expect(await tablesHolding(sql, [name])).toEqual([])
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM usage_records WHERE end_customer = ${runningAs}) AS records,
           (SELECT settled::int FROM limit_usage WHERE subject = ${`${organization} ${runningAs}`}) AS settled`
  expect(row).toEqual({ records: 1, settled: 1 })
})

test("a record that comes late, by a journal from before, comes in under the pseudonym, with its charge", async () => {
  const [limit] = await sql<{ limit_id: string; window_id: string; settled: string }[]>`
    SELECT limit_id, window_id, settled::text AS settled FROM limit_usage WHERE subject LIKE ${`% ${pseudonym}`}`
  const late = sampleRecord({
    organization_id: organization,
    end_customer: CUSTOMER,
    conversation: CUSTOMER,
    tags: ["team:a", `x:${CUSTOMER}`],
    time: new Date().toISOString(),
  })
  const charge = { limit_id: limit?.limit_id ?? "", window: limit?.window_id ?? "", amount: "1" }
  late.charges = [{ ...charge, subject: `${organization} ${COUNTED}` }]
  await ingest(sql, mintId(Date.now()), [{ seq: 1, body: JSON.stringify(late) }])
  const [row] =
    await sql`SELECT end_customer, conversation, tags, metadata, charges FROM usage_records WHERE id = ${late.id}`
  expect(row).toEqual({
    end_customer: pseudonym,
    conversation: "",
    tags: ["team:a", pseudonym],
    metadata: {},
    charges: [{ ...charge, subject: `${organization} ${pseudonym}` }],
  })
  const [now] = await sql<{ settled: string }[]>`
    SELECT settled::text AS settled FROM limit_usage WHERE subject = ${`${organization} ${pseudonym}`}`
  expect(Number(now?.settled)).toBe(Number(limit?.settled) + 1)
  expect(await tablesHolding(sql, FORMS)).toEqual([])
})

test("an erased user leaves an id with its usage, and the name in no table, no audit row and no message", async () => {
  const before = await sums()
  const preview = await one().admin("GET", `/admin/v1/users/${user}/erase`)
  expect((preview.body as unknown as { counts: object }).counts).toMatchObject({
    users: 1,
    virtual_keys: 1,
    alert_channels: 1,
  })
  const erased = await one().admin("POST", `/admin/v1/users/${user}/erase`)
  expect(erased).toMatchObject({ status: 200, body: { id: user, name: "erased", email: null, state: "done" } })
  expect(await tablesHolding(sql, USER_WORDS)).toEqual([])
  expect(await sums()).toEqual(before)
  expect(await sql`SELECT count(*)::int AS rows FROM usage_records WHERE user_id = ${user}`).toEqual([{ rows: 7 }])
  const [channel] = await sql`SELECT recipients, disabled_at FROM alert_channels`
  expect(channel).toEqual({ recipients: ["ops@example.com"], disabled_at: null })
  expect(await sql`SELECT ip FROM audit_log WHERE actor = ${user} AND ip <> ''`).toEqual([])
  expect(await one().admin("POST", `/admin/v1/users/${user}/erase`)).toMatchObject({ status: 200 })
})

test("nothing that was logged names the erased, and the journals' files soon hold nothing of them", async () => {
  const words = [...FORMS, ...USER_WORDS]
  const isNaming = (line: string) => formsOf(words).some((form) => line.toLowerCase().includes(form))
  for (const { logged } of apps) expect(logged.filter(isNaming)).toEqual([])
  await stopBoth()
  for (const place of [0, 1]) expect(filesHolding(dataDir(place), words)).toEqual([])
})

test("a restore of an older backup does not bring the erased back", async () => {
  expect(filesHolding(folder, [USER.email])).toEqual(["before.ndjson.gz"])
  const told = await command(["restore", backupFile, "--force"])
  expect(told).toMatchObject({ erased_again: { users: 1, customers: 1 } })
  expect(await tablesHolding(sql, [...FORMS, ...USER_WORDS])).toEqual([])
  const rows = await sql`SELECT DISTINCT end_customer FROM usage_records`
  expect(rows.map(({ end_customer }) => end_customer)).toEqual([pseudonym])
})

test("nor does a database that was put back by other means, once a proxy starts on it", async () => {
  await sql`UPDATE usage_records SET end_customer = ${CUSTOMER}`
  await sql`UPDATE limit_usage SET subject = ${`${organization} ${COUNTED}`} WHERE subject LIKE ${`% ${pseudonym}`}`
  await sql`UPDATE users SET name = ${USER.name}, email = ${USER.email}`
  await sql`DELETE FROM erased_customers`
  await sql`DELETE FROM erased_users`
  await startBoth()
  expect(await tablesHolding(sql, [...FORMS, ...USER_WORDS])).toEqual([])
  await until(
    async () =>
      filesHolding(dataDir(0), [...FORMS, ...USER_WORDS]).filter((file) => !file.startsWith("before-restore"))
        .length === 0
        ? true
        : undefined,
    WAIT_MS_MAX,
  )
})
