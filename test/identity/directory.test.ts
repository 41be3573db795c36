import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { Directory } from "../../src/identity/directory.ts"
import { defaultOrganization, firstRun, install } from "../../src/identity/first-run.ts"
import { createVirtualKey, revokeVirtualKey } from "../../src/identity/registry.ts"
import { mintVirtualKey } from "../../src/identity/secret.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "test", ip: "" }
let nowMs = Date.UTC(2026, 10, 23)
let sql: Sql
let organizationId: string
let databaseUrl: string

function openDirectory(through = sql): Directory {
  return new Directory({ sql: through, clock: { nowMs: () => nowMs }, log: pino({ level: "silent" }), keysMax: 100 })
}

async function createKey(expiresAt: Date | null = null) {
  const wanted = {
    name: "k",
    organizationId,
    projectId: null,
    userId: null,
    allowedModels: null,
    expiresAt,
    limits: [],
  }
  const created = await createVirtualKey(sql, ACTOR, wanted)
  if (created.kind !== "created") throw new Error(created.what)
  return created
}

beforeAll(async () => {
  databaseUrl = await createDatabase(inject("postgresUrl"))
  sql = openPostgres(databaseUrl, { max: 3, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  const starters = await Promise.all(
    Array.from({ length: 4 }, () => install(sql).then(() => firstRun(sql, { isAdminKeyGiven: false }))),
  )
  expect(starters.filter(({ kind }) => kind === "done now")).toHaveLength(1)
  organizationId = await defaultOrganization(sql)
})
afterAll(() => sql?.end())

test("a known key is answered from the cache, even when Postgres is away; an unknown one is unavailable then", async () => {
  const own = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  const directory = openDirectory(own)
  const { secret } = await createKey()
  expect(directory.identifyCached(secret)).toBeUndefined()
  expect((await directory.identify(secret)).kind).toBe("caller")
  await own.end()
  expect(directory.identifyCached(secret)?.kind).toBe("caller")
  expect((await directory.identify(mintVirtualKey("key_abcdefghijkl"))).kind).toBe("unavailable")
})

test("a key expires by the clock, without anybody telling the cache", async () => {
  const directory = openDirectory()
  const { secret } = await createKey(new Date(nowMs + 1000))
  expect((await directory.identify(secret)).kind).toBe("caller")
  nowMs += 1000
  expect(directory.identifyCached(secret)?.kind).toBe("refused")
})

test("a revocation elsewhere is seen by the next poll, and a poll without a change keeps the cache", async () => {
  const directory = openDirectory()
  await directory.poll()
  const { secret, row } = await createKey()
  await directory.poll()
  expect((await directory.identify(secret)).kind).toBe("caller")
  await directory.poll()
  expect(directory.identifyCached(secret)?.kind).toBe("caller")
  await revokeVirtualKey(sql, ACTOR, row.id, new Date(nowMs))
  await directory.poll()
  expect(await directory.identify(secret)).toMatchObject({
    kind: "refused",
    message: expect.stringContaining("revoked"),
  })
})

test("a look-up that began before a change never writes its answer back", async () => {
  const directory = openDirectory()
  const { secret } = await createKey()
  const looking = directory.identify(secret)
  directory.clear()
  expect((await looking).kind).toBe("caller")
  expect(directory.identifyCached(secret)).toBeUndefined()
})

test("a hundred callers of one new key cost one look-up, and scanners fill no memory", async () => {
  const directory = openDirectory()
  const { secret } = await createKey()
  const answers = await Promise.all(Array.from({ length: 100 }, () => directory.identify(secret)))
  expect(answers.every(({ kind }) => kind === "caller")).toBe(true)
  for (let at = 0; at < 300; at++) await directory.identify(mintVirtualKey("key_abcdefghijkl"))
  expect(directory.identifyCached(secret)).toBeUndefined()
})
