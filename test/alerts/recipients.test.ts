/** Whom mail goes to: whoever has a role when it is sent, the user whom an alert is about, and nobody twice. */
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { sampleMessage } from "../../src/alerts/alert-message.ts"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { listDeliveries, writeDelivery } from "../../src/alerts/deliveries.ts"
import { retryDelayMs } from "../../src/alerts/delivery-delay.ts"
import { DeliveryWorker } from "../../src/alerts/delivery-worker.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import { changeUser, createUser } from "../../src/identity/user-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { SecretBox } from "../../src/platform/secret-box.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type SmtpSink, startSmtpSink } from "../support/smtp-sink.ts"

const ACTOR = { name: "t", ip: "" }
const log = pino({ level: "silent" })
const box = new SecretBox(null)
let sql: Sql
let smtp: SmtpSink
let organizationId: string
let nowMs = Date.UTC(2026, 10, 24, 12)

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 3, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  organizationId = await defaultOrganization(sql)
  smtp = await startSmtpSink({ user: "alerts", password: "x" })
})
afterAll(async () => {
  await sql?.end()
  await smtp?.close()
})
beforeEach(async () => {
  await sql`DELETE FROM alert_deliveries`
  await sql`DELETE FROM alert_channels`
  await sql`DELETE FROM role_grants`
  smtp.received.splice(0)
})

const clock = { nowMs: () => nowMs }
const worker = () => {
  const mail = { smtpUrl: `smtp://alerts:x@127.0.0.1:${smtp.port}`, from: "Tallygate <alerts@example.com>" }
  return new DeliveryWorker({ sql, clock, log, box, mail, allowPrivate: true, random: () => 0 })
}
async function channel(recipients: readonly string[], organization = organizationId): Promise<string> {
  const wanted = { organizationId: organization, kind: "email", name: "mail", url: "", signingSecret: null } as const
  const made = await createChannel(sql, box, ACTOR, { ...wanted, recipients })
  if (made.kind !== "done") throw new Error(made.kind)
  return made.row.id
}
let people = 0
async function person(role: string, email: string, scope = "organization", scopeId = organizationId): Promise<string> {
  const made = await createUser(sql, ACTOR, {
    organizationId,
    kind: "person",
    name: `P${people++}`,
    email,
    projectIds: [],
  })
  if (made.kind !== "done") throw new Error(made.kind)
  const { id } = made.row
  if (role !== "")
    await sql`INSERT INTO role_grants (user_id, role, scope, scope_id) VALUES (${id}, ${role}, ${scope}, ${scopeId})`
  return id
}
const message = () => sampleMessage({ id: organizationId, name: "Acme" }, null, nowMs)
async function send(channelId: string, userId = ""): Promise<void> {
  const wanted = { organizationId, ruleId: "rule_default", digestId: "", userId, channelId, message: message() }
  await sql.begin((transaction) => writeDelivery(transaction, wanted, nowMs))
  await worker().deliverDue()
}
const deliveries = () =>
  listDeliveries(sql, { visibility: { kind: "all" }, channelId: null, state: null, after: null, max: 100 })
const reached = () => smtp.received.map(({ recipients }) => recipients.toSorted())

describe("roles", () => {
  test("are looked up when the message is sent: who has exactly that role over the channel's scope, with an address", async () => {
    const [ops, all] = [await channel(["BEA@example.com", "role:billing"]), await channel(["role:owner"], "")]
    const leaves = await person("billing", "leaves@example.com")
    await person("billing", "bea@example.com")
    await person("billing", "")
    await person("admin", "admin@example.com")
    await person("owner", "owner@example.com", "installation", "")
    await sql`UPDATE users SET disabled_at = now() WHERE id = ${leaves}`
    await send(ops)
    await send(all)
    expect(reached().map((addresses) => addresses.map((one) => one.toLowerCase()))).toEqual([
      ["bea@example.com"],
      ["owner@example.com"],
    ])
  })

  test("do not show people to one another; addresses that are written down stand in the mail", async () => {
    await person("viewer", "vic@example.com")
    await person("viewer", "val@example.com")
    await send(await channel(["role:viewer"]))
    await send(await channel(["Ops@example.com", "role:viewer"]))
    const [hidden, shown] = smtp.received
    expect(reached()).toEqual([
      ["val@example.com", "vic@example.com"],
      ["Ops@example.com", "val@example.com", "vic@example.com"],
    ])
    for (const raw of [hidden?.raw, shown?.raw]) expect(raw).not.toMatch(/v[ai][cl]@example\.com/)
    expect(hidden?.raw).toMatch(/^To: "?undisclosed-recipients"?:;/im)
    expect(shown?.raw).toMatch(/^To: Ops@example\.com/im)
  })

  test("that nobody has are told in the log of deliveries", async () => {
    await send(await channel(["role:billing", "user"]))
    expect(await deliveries()).toMatchObject([
      { state: "failed", last_error: "nobody with a mail address has the role billing over the organization" },
    ])
  })
})

describe("whoever has got it", () => {
  test("does not get it again because the server refuses another one", async () => {
    const id = await channel(["ada@example.com", "refused@example.com"])
    await send(id)
    expect(await deliveries()).toMatchObject([
      {
        state: "waiting",
        last_error: "the mail server took it for all but 1 of 2 recipients",
        arrived: ["ada@example.com"],
      },
    ])
    nowMs += retryDelayMs(1, 0)
    await worker().deliverDue()
    expect(reached()).toEqual([["ada@example.com"]])
    await sql`UPDATE alert_channels SET recipients = '{ada@example.com,bob@example.com}' WHERE id = ${id}`
    nowMs += retryDelayMs(2, 0)
    await worker().deliverDue()
    expect(reached()).toEqual([["ada@example.com"], ["bob@example.com"]])
    expect(await deliveries()).toMatchObject([{ state: "delivered", arrived: [], last_error: "" }])
  })

  test("is one of hundreds, each of whom gets it once", async () => {
    await sql`
      WITH made AS (
        INSERT INTO users (id, organization_id, name, email)
        SELECT 'user_v' || n, ${organizationId}, 'V', 'v' || n || '@example.com' FROM generate_series(1, 230) AS n RETURNING id)
      INSERT INTO role_grants (user_id, role, scope, scope_id) SELECT id, 'viewer', 'organization', ${organizationId} FROM made`
    await send(await channel(["role:viewer"]))
    expect(reached().map((addresses) => addresses.length)).toEqual([100, 100, 30])
    expect(new Set(reached().flat()).size).toBe(230)
    expect(await deliveries()).toMatchObject([{ state: "delivered" }])
  })
})

describe("the user whom an alert is about", () => {
  const watch = () =>
    new AlertWatch({
      ...{ sql, clock, log, findSheet: () => undefined, baseUrl: null },
      process: { storesUp: () => ({}), backlogRows: () => 0 },
    })

  test("is that of a user's limit, whom a limit counts apart, and whose key it is; nobody else's alert goes there", async () => {
    await channel(["user"])
    const [own, apart, holder] = [
      await person("", "own@example.com"),
      await person("", "apart@example.com"),
      await person("", "holder@example.com"),
    ]
    const project = await createProject(sql, ACTOR, organizationId, { name: "search" })
    const wantedKey = {
      name: "k",
      organizationId,
      projectId: null,
      userId: holder,
      allowedModels: null,
      expiresAt: null,
    }
    const key = await createVirtualKey(sql, ACTOR, { ...wantedKey, limits: [] })
    if (project.kind !== "done" || key.kind !== "created") throw new Error("taken")
    for (const [scope, subject, each, counter] of [
      ["user", own, "", own],
      ["project", project.row.id, "user", `${project.row.id} ${apart}`],
      ["project", project.row.id, "user", `${project.row.id} nobody`],
      ["key", key.row.id, "", key.row.id],
      ["organization", organizationId, "", organizationId],
    ] as const) {
      const wanted = { kind: "tokens", window: "month", cap: BigInt(1_000 + people++), each } as const
      const made = await createLimit(sql, ACTOR, { organizationId, scope, subject }, wanted)
      if (made.kind !== "created") throw new Error(made.kind)
      await sql`
        INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
        VALUES (${organizationId}, ${made.row.id}, ${counter}, '2026-11', 900)`
    }
    await watch().look()
    await worker().deliverDue()
    expect(reached().flat().sort()).toEqual(["apart@example.com", "holder@example.com", "own@example.com"])
    expect(await deliveries()).toHaveLength(3)
  })

  test("is told at the address that they have now, and not once they have none", async () => {
    const id = await channel(["user"])
    const user = await person("", "old@example.com")
    const wanted = {
      organizationId,
      ruleId: "rule_default",
      digestId: "",
      userId: user,
      channelId: id,
      message: message(),
    }
    await sql.begin((transaction) => writeDelivery(transaction, wanted, nowMs))
    await sql.begin((transaction) => changeUser(transaction, ACTOR, user, { email: "new@example.com" }))
    await worker().deliverDue()
    await sql`UPDATE users SET email = '' WHERE id = ${user}`
    await send(id, user)
    await send(id)
    expect(reached()).toEqual([["new@example.com"]])
    expect((await deliveries()).map(({ last_error }) => last_error).sort()).toEqual([
      "",
      "the channel's only recipient is the user whom an alert is about, and this message is about none",
      "the user whom the alert is about has no mail address, or is disabled",
    ])
  })
})
