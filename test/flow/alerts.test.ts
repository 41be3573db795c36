/** Alerts from end to end: a call that crosses a budget, the admin API of rules and channels, mail over a real SMTP server. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type SmtpSink, startSmtpSink } from "../support/smtp-sink.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, startTestApp, type TestApp, until } from "../support/test-app.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const SMTP_PASSWORD = "smtp-password-canary"
let app: TestApp
let config: string
let smtp: SmtpSink
let receiver: WebhookReceiver
let organizationId: string

/** Bodies of alert routes, as far as these tests look at them. */
type Body = Record<string, unknown> & {
  id: string
  data: Record<string, unknown>[]
  error: { param: string; message: string; code: string }
}
const admin = async (method: string, route: string, body?: unknown) => {
  const response = await fetch(`${app.url}/admin/v1/${route}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  answered.push(text)
  return { status: response.status, body: JSON.parse(text) as Body }
}
/** All that the admin API and apps that have ended said. */
const answered: string[] = []
const logged: string[] = []

beforeAll(async () => {
  smtp = await startSmtpSink({ user: "alerts", password: SMTP_PASSWORD })
  config = `
sandbox: true
encryption_key: "${"11".repeat(32)}"
alerts:
  smtp_url: smtp://alerts:${SMTP_PASSWORD}@127.0.0.1:${smtp.port}
  from: Tallygate <alerts@example.com>
  base_url: https://tallygate.example
  allow_private_targets: true
`
  app = await startTestApp(config)
  organizationId = String((await admin("GET", "organizations")).body.data[0]?.id)
})
afterAll(async () => {
  await app?.close()
  await smtp?.close()
})
beforeEach(async () => {
  receiver = await startWebhookReceiver()
})
afterEach(() => receiver.close())

const channel = async (more: object) =>
  admin("POST", "alert-channels", { scope: { organization_id: organizationId }, name: "ops", ...more })

describe("mail", () => {
  test("arrives as text and as HTML, with what a user named something escaped", async () => {
    const { body } = await channel({ kind: "email", recipients: ["ada@example.com", "bob@example.com"] })
    const tested = await admin("POST", `alert-channels/${body.id}/test`)
    expect(tested.body).toMatchObject({ state: "delivered", attempts: 1, rule_id: null })
    const [mail] = smtp.received.splice(0)
    expect(mail?.recipients).toEqual(["ada@example.com", "bob@example.com"])
    expect(mail?.raw).toMatch(/^Message-ID: <[0-9a-f-]{36}@tallygate>$/im)
    expect(mail?.raw).toContain(`<${tested.body.id}@tallygate>`)
    expect(mail?.raw).toContain("Content-Type: text/plain")
    expect(mail?.raw).toContain("Content-Type: text/html")
    expect(mail?.raw).toContain("https://tallygate.example/dashboard/usage")
    const preview = (await admin("GET", `alert-channels/${body.id}/preview`)).body
    expect(preview).toMatchObject({ body: null, subject: expect.stringContaining("Test: ") })
  })

  test("that the server refuses is told by the server's code alone", async () => {
    const { body } = await channel({ kind: "email", recipients: ["refused@example.com"] })
    const { body: tested } = await admin("POST", `alert-channels/${body.id}/test`)
    expect(tested).toMatchObject({ state: "failed", last_error: "the mail server answered 550" })
  })
})

test.each(["slack", "discord", "teams"])(
  "a %s channel posts what its preview shows, and nobody sees its address",
  async (kind) => {
    const { body, status } = await channel({ kind, url: `${receiver.url}/services/url-canary` })
    expect([status, body.host, body.signing_secret]).toEqual([201, new URL(receiver.url).host, null])
    expect((await admin("POST", `alert-channels/${body.id}/test`)).body.state).toBe("delivered")
    const sent = JSON.parse(receiver.received[0]?.body ?? "")
    const { body: shown } = (await admin("GET", `alert-channels/${body.id}/preview`)).body
    const without = (value: unknown) =>
      JSON.parse(JSON.stringify(value).replace(/"timestamp":"[^"]*"/, '"timestamp":""'))
    expect(without(sent)).toEqual(without(shown))
    expect(JSON.stringify(sent)).toContain("https://tallygate.example/dashboard/usage")
  },
)

test("a webhook's secret is shown once, a given one never; wrong members are refused by name", async () => {
  const made = await channel({ kind: "webhook", url: receiver.url })
  expect(made.body.signing_secret).toMatch(/^whsec_/)
  expect(JSON.stringify((await admin("GET", `alert-channels/${made.body.id}`)).body)).not.toContain("whsec_")
  const given = `whsec_${Buffer.from("secret-canary-of-the-webhook-receiver").toString("base64")}`
  expect((await channel({ kind: "webhook", url: receiver.url, signing_secret: given })).body.signing_secret).toBeNull()
  const changed = await admin("PATCH", `alert-channels/${made.body.id}`, { signing_secret: given, name: "renamed" })
  expect(changed.body).toMatchObject({ name: "renamed" })
  for (const [wrong, param] of [
    [{ kind: "email" }, "recipients"],
    [{ kind: "email", recipients: ["nobody"] }, "recipients.0"],
    [{ kind: "slack" }, "url"],
    [{ kind: "slack", url: "ftp://x" }, "url"],
    [{ kind: "slack", url: "https://u:p@x.example" }, "url"],
    [{ kind: "slack", url: receiver.url, signing_secret: given }, "signing_secret"],
    [{ kind: "webhook", url: receiver.url, signing_secret: "whsec_AAAA" }, "signing_secret"],
    [{ kind: "email", recipients: ["a@example.com"], url: receiver.url }, "url"],
  ] as const) {
    const { status, body } = await channel(wrong)
    expect([status, body.error.param]).toEqual([400, param])
  }
})

test("a rule is checked by its kind, tells its own organization's channels alone, and the first one is never deleted", async () => {
  const rule = (more: object) => admin("POST", "alert-rules", { scope: {}, kind: "threshold", name: "r", ...more })
  const [first] = (await admin("GET", "alert-rules")).body.data
  expect(first).toMatchObject({
    id: "rule_default",
    scope: {},
    parameters: { thresholds: [50, 80, 100], limit_kinds: ["usd", "tokens"] },
    channel_ids: null,
  })
  const { body } = await rule({
    kind: "key_expiry",
    parameters: { days: 30 },
    scope: { organization_id: organizationId },
  })
  expect(body).toMatchObject({ parameters: { days: 30 }, scope: { organization_id: organizationId } })
  const foreign = await admin("POST", "organizations", { name: "other" })
  const own = await channel({ kind: "webhook", url: receiver.url })
  for (const [wrong, status, param] of [
    [{ parameters: { days: 3 } }, 400, "parameters.days"],
    [{ parameters: { thresholds: [0] } }, 400, "parameters.thresholds.0"],
    [{ kind: "store_degraded", scope: { organization_id: organizationId } }, 400, "scope"],
    [{ channel_ids: ["chan_none"] }, 404, "channel_ids"],
    [{ channel_ids: [own.body.id], scope: { organization_id: foreign.body.id } }, 404, "channel_ids"],
    [{ scope: { organization_id: "org_none" } }, 404, "scope.organization_id"],
  ] as const) {
    const answer = await rule(wrong)
    expect([answer.status, answer.body.error.param]).toEqual([status, param])
  }
  expect((await admin("DELETE", "alert-rules/rule_default")).status).toBe(409)
  expect((await admin("DELETE", `alert-rules/${body.id}`)).status).toBe(200)
  expect((await admin("GET", `alert-rules/${body.id}`)).status).toBe(404)
})

test("a call over a budget is told to the organization's channels, with who spent it, and can be sent again", async () => {
  for (const { id } of (await admin("GET", "alert-channels")).body.data) await admin("DELETE", `alert-channels/${id}`)
  const { body: made } = await channel({ kind: "webhook", url: `${receiver.url}/url-canary` })
  const key = await app.createKey({ name: "crawler" })
  const limit = { scope: { key_id: key.id }, kind: "tokens", window: "day", cap: 1_000_000 }
  const { body: created } = await admin("POST", "limits", limit)
  const answer = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "sandbox/echo",
      max_tokens: 5,
      messages: [{ role: "user", content: "hello there" }],
    }),
  })
  expect(answer.status).toBe(200)
  await app.records(1)
  await admin("PATCH", `limits/${created.id}`, { cap: 1 })
  // One that starts sees what was crossed while nobody looked.
  const second = await startTestApp(config, { databaseUrl: app.databaseUrl })
  const hook = await until(async () => receiver.received[0], 30_000)
  await second.close()
  logged.push(...second.logged)
  const { type, data } = JSON.parse(hook.body)
  expect(type).toBe("alert.threshold")
  expect(data).toMatchObject({ limit_id: created.id, threshold_percent: 100, scope: "key", subject: key.id })
  expect(data.title).toBe("Key crawler has used up its limit of 1 tokens a day")
  expect(data.contributors[0]).toMatchObject({
    name: "model echo",
    value: expect.stringMatching(/^\d+ tokens$/),
  })
  expect(data.folded).toHaveLength(2)
  const [delivery] = (await admin("GET", `alert-deliveries?channel_id=${made.id}`)).body.data
  expect(delivery).toMatchObject({ id: hook.headers["webhook-id"], rule_id: "rule_default" })
  await until(
    async () => (await admin("GET", `alert-deliveries/${delivery?.id}`)).body.state === "delivered" || undefined,
  )
  const alerts = (await admin("GET", "alerts")).body.data.map(({ threshold_percent, state }) => [
    threshold_percent,
    state,
  ])
  expect(alerts.toSorted()).toEqual([
    [100, "told"],
    [50, "folded"],
    [80, "folded"],
  ])
  expect((await admin("POST", `alert-deliveries/${delivery?.id}/redeliver`)).body.state).toBe("waiting")
  const again = await until(async () => receiver.received[1])
  expect([again.body, again.headers["webhook-id"]]).toEqual([hook.body, hook.headers["webhook-id"]])
}, 60_000)

test("usage that is reported crosses a budget as a call does", async () => {
  for (const { id } of (await admin("GET", "alert-channels")).body.data) await admin("DELETE", `alert-channels/${id}`)
  await channel({ kind: "webhook", url: receiver.url })
  const limits = [{ kind: "tokens", window: "day", cap: 1_000 }]
  const key = await app.createKey({ name: "video", limits })
  const answer = await fetch(`${app.url}/v1/usage`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ provider: "openai", model: "gpt-4o-mini", input_tokens: 900, output_tokens: 200 }),
  })
  const { id } = (await answer.json()) as { id: string }
  await app.record(id)
  const second = await startTestApp(config, { databaseUrl: app.databaseUrl })
  const hook = await until(async () => receiver.received[0], 30_000)
  await second.close()
  logged.push(...second.logged)
  const { type, data } = JSON.parse(hook.body)
  expect([type, data.title]).toEqual(["alert.threshold", "Key video has used up its limit of 1,000 tokens a day"])
  expect(data).toMatchObject({ threshold_percent: 100, subject: key.id })
  expect(data.contributors[0]).toMatchObject({ name: "model gpt-4o-mini", value: "1100 tokens" })
}, 60_000)

test("no address, no password and no given secret was ever answered or logged", () => {
  const said = answered.join("") + logged.join("") + app.logged.join("")
  expect(said).toContain("limit crossed")
  for (const canary of [
    "url-canary",
    "secret-canary",
    SMTP_PASSWORD,
    Buffer.from("secret-canary-of").toString("base64"),
  ]) {
    expect(said).not.toContain(canary)
  }
  expect(said).not.toContain(PROJECT)
})
