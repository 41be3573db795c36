/** A month in an organization's life, on real Postgres and Redis, against a provider that keeps an account of its own. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { runBackup } from "../../src/cli/backup.ts"
import type { CommandRun } from "../../src/cli/command.ts"
import { runRestore } from "../../src/cli/restore.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { settledInLedger, settledInRedis } from "../support/limit-sums.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

const PEOPLE = 300
const TEAMS = ["search", "chat", "ops"] as const
type Team = (typeof TEAMS)[number]
/** Each call takes 100 tokens, and may take 300 as far as can be told before. */
const CALL_TOKENS = 100
const HELD_TOKENS_MAX = 300
/** What the team of operations may take: forty calls. */
const OPS_TOKENS = 4_000

let upstream: FakeUpstream
let redis: RealRedis
let client: RedisClient
let folder: string
let app: TestApp

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
  client = openRedis(redis.url, { connectionName: "test" })
  await client.connect()
  folder = await mkdtemp(path.join(tmpdir(), "tallygate-month-"))
  app = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url })
})
afterAll(async () => {
  await app?.close()
  client?.disconnect()
  await redis?.stop()
  await upstream?.stop()
  await rm(folder, { recursive: true, force: true })
})

type Row = Record<string, unknown> & { readonly id: string; readonly key?: string }

async function admin<Body = Row>(method: string, route: string, body?: unknown): Promise<Body> {
  const answer = await app.admin(method, `/admin/v1/${route}`, body)
  if (answer.status >= 300) throw new Error(`${method} ${route}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body as unknown as Body
}

async function call(key: string): Promise<{ status: number; message: string }> {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "mock-p84-o16", max_tokens: 16, messages: [{ role: "user", content: "hi" }] }),
  })
  const body = (await response.json()) as { error?: { message: string } }
  return { status: response.status, message: body.error?.message ?? "" }
}

/** One call with each key, eight at a time. */
async function work(keys: readonly string[]): Promise<{ status: number; message: string }[]> {
  const waiting = [...keys]
  const answers: { status: number; message: string }[] = []
  const worker = async () => {
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) answers.push(await call(key))
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return answers
}

async function command(run: CommandRun, databaseUrl: string, ...args: string[]): Promise<string> {
  let [stdout, stderr] = ["", ""]
  const out = {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  }
  const code = await run(args, { DATABASE_URL: databaseUrl, TALLYGATE_DATA: folder }, folder, out)
  if (code !== 0) throw new Error(stdout + stderr)
  return stdout
}

const tokensServed = () => upstream.served().promptTokens + upstream.served().completionTokens

/** What a project has used, when the ledger and Redis say the same and nothing is held. */
async function usedBy(projectId: string): Promise<bigint> {
  return until(async () => {
    const ledger = await settledInLedger(app.databaseUrl, projectId)
    const counted = await settledInRedis(client, projectId)
    return counted.held === 0n && counted.tokens === ledger.tokens ? ledger.tokens : undefined
  })
}

async function recordsOf(databaseUrl: string): Promise<{ calls: number; tokens: number }> {
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  const [row] = await sql<{ calls: number; tokens: number }[]>`
    SELECT count(*)::int AS calls, coalesce(sum(input_uncached_tokens + output_tokens), 0)::int AS tokens
    FROM usage_records`
  await sql.end()
  return row ?? { calls: 0, tokens: 0 }
}

test("three hundred people, three budgets, a leaver, a rotated key and a restored backup: every account agrees at each step", async () => {
  // The first of the month: three teams, of which one has a budget that is used up, and everybody's key.
  const organization = await admin("POST", "organizations", { name: "Acme", external_id: "acme" })
  const projects = new Map<Team, Row>()
  for (const name of TEAMS) {
    const project = await admin("POST", "projects", {
      name,
      organization_id: organization.id,
      cost_center: `cc-${name}`,
    })
    const cap = name === "ops" ? OPS_TOKENS : 10_000_000
    const limit = { scope: { project_id: project.id }, kind: "tokens", window: "month", cap, on_store_failure: "deny" }
    await admin("POST", "limits", limit)
    projects.set(name, project)
  }
  const teamOf = (person: number): Team => TEAMS[person % TEAMS.length] ?? "search"
  const people = Array.from({ length: PEOPLE }, (_, person) => ({
    external_id: `e-${person}`,
    name: `Person ${person}`,
    email: `person${person}@acme.example`,
    project_ids: [projects.get(teamOf(person))?.id],
  }))
  const users = await admin<{ created: number; data: Row[] }>(
    "POST",
    `users/import?organization_id=${organization.id}`,
    people,
  )
  expect(users.created).toBe(PEOPLE)
  const wanted = people.map(({ external_id, name, project_ids: [project_id] }) => ({
    external_id: `k-${external_id}`,
    name,
    user_external_id: external_id,
    project_id,
  }))
  const imported = await admin<{ created: number; data: Row[] }>(
    "POST",
    `keys/import?organization_id=${organization.id}`,
    wanted,
  )
  expect(imported.created).toBe(PEOPLE)
  const secrets = imported.data.map(({ key = "" }) => key)
  const keysOf = (team: Team) => secrets.filter((_, person) => teamOf(person) === team)

  // Everybody works. Two teams are never refused; the third is refused where no further call fits its budget.
  const [search, chat] = [await work(keysOf("search")), await work(keysOf("chat"))]
  expect(new Set([...search, ...chat].map(({ status }) => status))).toEqual(new Set([200]))
  const ops = await work(keysOf("ops"))
  const opsUsed = ops.filter(({ status }) => status === 200).length * CALL_TOKENS
  expect(opsUsed).toBeLessThanOrEqual(OPS_TOKENS)
  expect(opsUsed).toBeGreaterThan(OPS_TOKENS - HELD_TOKENS_MAX)
  expect(ops.find(({ status }) => status === 429)?.message).toMatch(/project/)
  const idOf = (team: Team) => projects.get(team)?.id ?? ""
  expect(await usedBy(idOf("ops"))).toBe(BigInt(opsUsed))
  expect(await usedBy(idOf("search"))).toBe(10_000n)

  // Somebody leaves: one call, and the key is refused. What was used stays where it was.
  const leaver = users.data[0]?.id ?? ""
  await admin("PATCH", `users/${leaver}`, { disabled: true })
  expect(await call(secrets[0] ?? "")).toMatchObject({ status: 401, message: expect.stringContaining("disabled") })
  expect(await usedBy(idOf("search"))).toBe(10_000n)

  // A key is rotated without a gap.
  const rotatedId = imported.data[3]?.id ?? ""
  const rotated = await admin("POST", `keys/${rotatedId}/rotate`, { overlap_seconds: 3_600 })
  expect((await call(secrets[3] ?? "")).status).toBe(200)
  expect((await call(rotated.key ?? "")).status).toBe(200)

  // The middle of the month: a backup. Then more work, and the database is lost.
  const atBackup = tokensServed()
  await until(async () => ((await recordsOf(app.databaseUrl)).tokens === atBackup ? true : undefined))
  const file = path.join(folder, "middle.backup")
  await writeFile(path.join(folder, "proxy.config.yaml"), pricedConfig(upstream.baseUrl))
  await command(runBackup, app.databaseUrl, "--out", file)
  await work(keysOf("chat"))
  expect(await usedBy(idOf("chat"))).toBe(20_000n)
  await app.close()

  // Restored, the ledger is that of the backup, and the counters in Redis follow it back.
  const restored = await createDatabase(inject("postgresUrl"))
  await command(runRestore, restored, file)
  expect(await recordsOf(restored)).toMatchObject({ tokens: atBackup })
  app = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url, databaseUrl: restored })
  const [first = ""] = keysOf("chat")
  await until(async () => ((await call(first)).status === 200 ? true : undefined))
  expect(await usedBy(idOf("chat"))).toBe(10_100n)
  expect(await usedBy(idOf("ops"))).toBe(BigInt(opsUsed))
  expect((await call(keysOf("ops")[0] ?? "")).status).toBe(429)
  expect((await call(secrets[0] ?? "")).status).toBe(401)
  expect((await call(rotated.key ?? "")).status).toBe(200)

  // The end of the month: finance asks, and is told the same by the API and by the records.
  const { totals } = await until(async () => {
    const summary = await admin<{ totals: { records: unknown }; data: Row[] }>(
      "GET",
      `usage/summary?organization=${organization.id}&group_by=project`,
    )
    return Number(summary.totals.records) === atBackup / CALL_TOKENS + 2 ? summary : undefined
  })
  expect(Number(totals.records)).toBe((await recordsOf(restored)).calls)
}, 120_000)
