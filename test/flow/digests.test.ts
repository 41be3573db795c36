/** Digests and looks at budgets from end to end: the admin API, a real mail server, refused calls, and the command line. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { mailPart } from "../support/mail-parts.ts"
import { type SmtpSink, startSmtpSink } from "../support/smtp-sink.ts"
import { ADMIN_KEY, startTestApp, type TestApp, until } from "../support/test-app.ts"

/** Bodies of the routes, as far as these tests look at them. */
type Body = Record<string, unknown> & { id: string; data: Body[]; error: { param: string; message: string } }
let smtp: SmtpSink
let app: TestApp
let sql: Sql
let organizationId: string
let channelId: string

const admin = async (method: string, route: string, body?: unknown) => {
  const answer = await app.admin(method, `/admin/v1/${route}`, body)
  return { status: answer.status, body: answer.body as unknown as Body }
}

beforeAll(async () => {
  smtp = await startSmtpSink({ user: "alerts", password: "x" })
  app = await startTestApp(`
sandbox: true
alerts:
  smtp_url: smtp://alerts:x@127.0.0.1:${smtp.port}
  from: Tallygate <alerts@example.com>
  base_url: https://tallygate.example
`)
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
  organizationId = String((await admin("GET", "organizations")).body.data[0]?.id)
  await admin("PATCH", `organizations/${organizationId}`, { time_zone: "Europe/Berlin" })
  const wanted = { scope: { organization_id: organizationId }, kind: "email", name: "ops" }
  const recipients = ["ada@example.com", "role:billing", "user"]
  const made = await admin("POST", "alert-channels", { ...wanted, recipients })
  expect([made.status, made.body.recipients]).toEqual([201, recipients])
  channelId = made.body.id
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
  await smtp?.close()
})

const newDigest = (more: object = {}) =>
  admin("POST", "digests", {
    scope: { organization_id: organizationId },
    name: "for finance",
    period: "weekly",
    ...more,
  })

test.each(["role:boss", "role:", "nobody", "users"])(
  "the recipient %s is refused, and told what there is",
  async (one) => {
    const { status, body } = await admin("PATCH", `alert-channels/${channelId}`, {
      recipients: ["ada@example.com", one],
    })
    expect([status, body.error.param]).toEqual([400, "recipients.1"])
    expect(body.error.message).toContain(
      "must be a mail address, role:owner, role:admin, role:billing, role:viewer or user",
    )
  },
)

describe("a digest", () => {
  test("is due at eight on Mondays of its organization's zone unless told, and a schedule that nobody chose follows the period", async () => {
    const { status, body } = await newDigest()
    expect(status).toBe(201)
    expect(body).toMatchObject({
      ...{ schedule: "0 8 * * 1", time_zone: "Europe/Berlin", channel_ids: null, disabled_at: null, last: null },
      scope: { organization_id: organizationId },
    })
    const next = new Date(String(body.next_at))
    expect([next.getTime() > Date.now(), next.getUTCDay(), [6, 7].includes(next.getUTCHours())]).toEqual([
      true,
      1,
      true,
    ])
    const change = async (changes: object) => (await admin("PATCH", `digests/${body.id}`, changes)).body
    expect(await change({ period: "daily" })).toMatchObject({ period: "daily", schedule: "0 8 * * *" })
    expect(await change({ schedule: "30 6 * * *", time_zone: "UTC" })).toMatchObject({ time_zone: "UTC" })
    expect(await change({ period: "monthly" })).toMatchObject({ schedule: "30 6 * * *" })
    expect(await change({ disabled: true })).toMatchObject({ next_at: null })
    expect((await admin("GET", "digests")).body.data.map(({ id }) => id)).toEqual([body.id])
    expect((await admin("DELETE", `digests/${body.id}`)).body).toMatchObject({ id: body.id, name: "for finance" })
    expect((await admin("GET", `digests/${body.id}`)).status).toBe(404)
    const actions = (await admin("GET", "audit")).body.data.map(({ action }) => action)
    expect(actions).toEqual(expect.arrayContaining(["digest.create", "digest.change", "digest.delete"]))
  })

  test("is refused by the name of what is wrong", async () => {
    const other = await admin("POST", "organizations", { name: "other" })
    for (const [wrong, status, param] of [
      [{ schedule: "every day" }, 400, "schedule"],
      [{ schedule: "0 8 31 2 *" }, 400, "schedule"],
      [{ time_zone: "+01:00" }, 400, "time_zone"],
      [{ period: "hourly" }, 400, "period"],
      [{ channel_ids: ["chan_none"] }, 404, "channel_ids"],
      [{ channel_ids: [channelId], scope: { organization_id: other.body.id } }, 404, "channel_ids"],
      [{ scope: { organization_id: "org_none" } }, 404, "scope.organization_id"],
      [{ scope: { project_id: "proj_none" } }, 400, "project_id"],
    ] as const) {
      const answer = await newDigest(wrong)
      expect([answer.status, answer.body.error.param], JSON.stringify(wrong)).toEqual([status, param])
    }
  })

  test("sent by hand is a mail with a table attached, the same as its preview, and stands in the log of deliveries", async () => {
    const { body: digest } = await newDigest()
    const { body: preview } = await admin("GET", `digests/${digest.id}/preview`)
    const { status, body: sent } = await admin("POST", `digests/${digest.id}/send`)
    expect([status, sent.period]).toEqual([200, preview.period])
    const mail = await until(async () => smtp.received.shift(), 30_000)
    expect(mail.recipients).toEqual(["ada@example.com"])
    expect(mailPart(mail.raw, "text/html")).toContain("Weekly digest")
    expect(mailPart(mail.raw, "text/plain").trim().replaceAll("\r\n", "\n")).toBe(String(preview.text).trim())
    expect(mailPart(mail.raw, "text/csv")).toBe(preview.csv)
    expect(mail.raw).toContain(`filename=tallygate-${sent.period}.csv`)
    const [id] = sent.deliveries as string[]
    const delivery = await until(async () => {
      const { body } = await admin("GET", `alert-deliveries/${id}`)
      return body.state === "delivered" ? body : undefined
    }, 30_000)
    expect(delivery).toMatchObject({ digest_id: digest.id, rule_id: null, channel_id: channelId, title: sent.title })
    expect((await admin("GET", `digests/${digest.id}`)).body.last).toBeNull()
    await admin("DELETE", `digests/${digest.id}`)
  })
})

describe("a look at budgets", () => {
  const budgets = async (...words: string[]) => {
    const env = { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }
    const { exitCode, stdout, stderr } = await tallygate(["budgets", ...words], { env })
    return { exitCode, stdout, stderr }
  }
  let limitId: string
  const use = (tokens: number) => sql`
    UPDATE limit_usage SET settled = ${tokens}, updated_at = now() WHERE limit_id = ${limitId}`

  test("finds none, and says so", async () => {
    expect(await budgets()).toEqual({ exitCode: 0, stdout: "There are no budgets.\n", stderr: "" })
  })

  test("that only asks says where they stand, against the percentage that was asked for", async () => {
    const key = await app.createKey({ name: "crawler" })
    await admin("PATCH", "alert-rules/rule_default", { disabled: true })
    const wanted = { scope: { key_id: key.id }, kind: "tokens", window: "month", cap: 1_000 }
    limitId = (await admin("POST", "limits", wanted)).body.id
    await sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES (${organizationId}, ${limitId}, ${key.id}, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 850)`
    const { status, body } = await admin("GET", "budgets/check")
    expect([status, body.status, body.alerts]).toEqual([200, "warning", []])
    expect(body.budgets).toMatchObject([
      { limit_id: limitId, subject_name: "crawler", used: "850", cap: "1000", percent: 85, status: "warning" },
    ])
    expect((await admin("GET", "budgets/check?warn_percent=90")).body.status).toBe("ok")
    expect((await admin("GET", "budgets/check?warn_percent=0")).body.error.param).toBe("warn_percent")
  })

  test("that sends now raises what there is, once however many ask, and its message arrives", async () => {
    await admin("PATCH", "alert-rules/rule_default", { disabled: false })
    const looks = await Promise.all([1, 2, 3].map(() => admin("POST", "budgets/check")))
    const raised = looks.flatMap(({ body }) => body.alerts as Body[])
    // The watch of the process looks as well.
    expect(raised.length).toBeLessThanOrEqual(2)
    const states = await sql`SELECT threshold_percent, state FROM alerts WHERE limit_id = ${limitId} ORDER BY 1`
    expect(states.map((row) => [row.threshold_percent, row.state])).toEqual([
      [50, "folded"],
      [80, "told"],
    ])
    const mail = await until(async () => smtp.received.shift(), 30_000)
    expect([mail.recipients, mailPart(mail.raw, "text/plain")]).toEqual([
      ["ada@example.com"],
      expect.stringContaining("Key crawler has used 85 % of its limit of 1,000 tokens a month"),
    ])
    expect((await admin("POST", "budgets/check")).body).toMatchObject({ alerts: [], deliveries: [] })
  })

  test("is an exit code: 1 near the cap, 2 at it, 0 where a shadow limit alone is over, 3 where nobody can tell", async () => {
    const near = await budgets()
    expect([near.exitCode, near.stderr]).toEqual([1, ""])
    expect(near.stdout).toMatch(/warning\s+85 %\s+key crawler\s+850\s+1000 tokens\s+month/)
    expect((await budgets("--warn", "90")).exitCode).toBe(0)
    await use(1_000)
    const { exitCode, stdout } = await budgets("--json")
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([2, { status: "exceeded", budgets: [{ percent: 100 }] }])
    await admin("PATCH", `limits/${limitId}`, { enforcement: "shadow" })
    expect(await budgets()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("key crawler, shadow") })
    expect((await budgets("--warn", "0")).exitCode).toBe(3)
    const nobody = await tallygate(["budgets"], {
      env: { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: "not-a-key-0123456789" },
    })
    expect(nobody).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining("is refused") })
  })
})

test("calls that are refused are counted by key and code", async () => {
  const { id, key } = await app.createKey({ name: "refused", allowed_models: ["sandbox/none"] })
  for (let n = 0; n < 3; n++) {
    const answer = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hello" }] }),
    })
    expect(answer.status).toBe(403)
  }
  const [row] = await until(async () => {
    const rows = await sql<
      { code: string; refusals: string }[]
    >`SELECT code, refusals FROM refusal_counts WHERE key_id = ${id}`
    return Number(rows[0]?.refusals ?? 0) >= 3 ? rows : undefined
  }, 30_000)
  expect(row).toEqual({ code: "model_not_allowed", refusals: "3" })
})
