import { once } from "node:events"
import { type AddressInfo, createServer, type Server } from "node:net"
import { pino } from "pino"
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest"
import { Directory } from "../../src/identity/directory.ts"
import { defaultOrganization, firstRun, install } from "../../src/identity/first-run.ts"
import { createVirtualKey, revokeVirtualKey } from "../../src/identity/key-registry.ts"
import { changeLimit, createLimit } from "../../src/identity/limit-registry.ts"
import { mintVirtualKey } from "../../src/identity/secret.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { holdAnswers } from "../support/held-answers.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "test", ip: "" }
const UNCONFIRMED_MS_MAX = 3_600_000
const KEY_READ = "FROM virtual_keys"
const VERSION_READ = "FROM directory_version"
let nowMs = Date.UTC(2026, 10, 23)
let sql: Sql
let organizationId: string
let databaseUrl: string
const directories: Directory[] = []

const open = () => openPostgres(databaseUrl, { max: 2, applicationName: "test" })

function openDirectory(openSql: () => Sql = open): Directory {
  const directory = new Directory({
    openPostgres: openSql,
    clock: { nowMs: () => nowMs },
    log: pino({ level: "silent" }),
    keysMax: 100,
    unconfirmedMsMax: UNCONFIRMED_MS_MAX,
  })
  directories.push(directory)
  return directory
}

/** A directory in front of a Postgres that can go away and come back, and that counts how often it was asked for. */
function openLossy() {
  const lossy = { isAway: false, opened: 0 }
  const pools: Sql[] = []
  const directory = openDirectory(() => {
    lossy.opened++
    const url = new URL(databaseUrl)
    // Nobody listens on port 1.
    if (lossy.isAway) url.port = "1"
    const pool = openPostgres(url.href, { max: 2, applicationName: "test" })
    pools.push(pool)
    return pool
  })
  const goAway = async () => {
    lossy.isAway = true
    await pools.at(-1)?.end({ timeout: 0 })
    await directory.poll()
  }
  return { directory, lossy, goAway }
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
  if (created.kind !== "created") throw new Error(created.kind)
  return created
}

const revoke = (id: string) => revokeVirtualKey(sql, ACTOR, id, new Date(nowMs))

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
afterEach(() => Promise.all(directories.splice(0).map((directory) => directory.stop())))
afterAll(() => sql?.end())

test("a key expires by the clock, without anybody telling the cache", async () => {
  const directory = openDirectory()
  const { secret } = await createKey(new Date(nowMs + 1000))
  expect((await directory.identify(secret)).kind).toBe("caller")
  nowMs += 1000
  expect(directory.identifyCached(secret)?.kind).toBe("refused")
})

test("a hundred callers of one new key cost one look-up, and scanners fill no memory", async () => {
  const held = holdAnswers(open())
  const directory = openDirectory(() => held.sql)
  const { secret } = await createKey()
  // The second answer would be kept back for ever, if anybody asked a second time.
  const [first] = [held.hold(KEY_READ), held.hold(KEY_READ)]
  first.release()
  const answers = await Promise.all(Array.from({ length: 100 }, () => directory.identify(secret)))
  expect(answers.every(({ kind }) => kind === "caller")).toBe(true)
  const other = openDirectory()
  expect((await other.identify(secret)).kind).toBe("caller")
  for (let at = 0; at < 300; at++) await other.identify(mintVirtualKey("key_abcdefghijkl"))
  expect(other.identifyCached(secret)).toBeUndefined()
})

describe("changes", () => {
  test("a revocation elsewhere is seen by the next poll, and a poll without a change keeps the cache", async () => {
    const directory = openDirectory()
    await directory.poll()
    const { secret, row } = await createKey()
    await directory.poll()
    expect((await directory.identify(secret)).kind).toBe("caller")
    await directory.poll()
    expect(directory.identifyCached(secret)?.kind).toBe("caller")
    await revoke(row.id)
    await directory.poll()
    expect(await directory.identify(secret)).toMatchObject({
      kind: "refused",
      message: expect.stringContaining("revoked"),
    })
  })

  test("a change in this process is effective when its author is answered, and empties the cache once", async () => {
    const directory = openDirectory()
    const { secret, row } = await createKey()
    await directory.identify(secret)
    await revoke(row.id)
    await directory.changed()
    expect(directory.identifyCached(secret)).toBeUndefined()
    expect((await directory.identify(secret)).kind).toBe("refused")
    await directory.poll()
    expect(directory.identifyCached(secret)?.kind).toBe("refused")
  })

  test("a look-up that was read before a change elsewhere and arrives after it is made again", async () => {
    const held = holdAnswers(open())
    const directory = openDirectory(() => held.sql)
    await directory.poll()
    const { secret, row } = await createKey()
    await directory.poll()
    const read = held.hold(KEY_READ)
    const looking = directory.identify(secret)
    await read.answered
    await revoke(row.id)
    await directory.poll()
    read.release()
    expect((await looking).kind).toBe("refused")
    expect(directory.identifyCached(secret)?.kind).toBe("refused")
  })

  test("one that meets a change each time is answered as it was read, and never kept", async () => {
    const held = holdAnswers(open())
    const directory = openDirectory(() => held.sql)
    const { secret, row } = await createKey()
    await directory.poll()
    const reads = [held.hold(KEY_READ), held.hold(KEY_READ)]
    const looking = directory.identify(secret)
    for (const read of reads) {
      await read.answered
      await (read === reads[0] ? createKey() : revoke(row.id))
      await directory.poll()
      read.release()
    }
    expect((await looking).kind).toBe("caller")
    expect(directory.identifyCached(secret)).toBeUndefined()
    expect((await directory.identify(secret)).kind).toBe("refused")
  })

  test("one that ends while the poll that knows better is on its way is forgotten when that poll arrives", async () => {
    const held = holdAnswers(open())
    const directory = openDirectory(() => held.sql)
    const { secret, row } = await createKey()
    await directory.poll()
    const read = held.hold(KEY_READ)
    const looking = directory.identify(secret)
    await read.answered
    await revoke(row.id)
    const version = held.hold(VERSION_READ)
    const polling = directory.poll()
    await version.answered
    read.release()
    expect((await looking).kind).toBe("caller")
    version.release()
    await polling
    expect(directory.identifyCached(secret)).toBeUndefined()
    expect((await directory.identify(secret)).kind).toBe("refused")
  })

  test("a poll that arrives after a later one does not undo it: what was read meanwhile stays, and stays watched", async () => {
    const held = holdAnswers(open())
    const directory = openDirectory(() => held.sql)
    await directory.poll()
    const early = held.hold(VERSION_READ)
    const polling = directory.poll()
    await early.answered
    const { secret, row } = await createKey()
    await directory.changed()
    await directory.identify(secret)
    early.release()
    await polling
    expect(directory.identifyCached(secret)?.kind).toBe("caller")
    await revoke(row.id)
    await directory.poll()
    expect(directory.identifyCached(secret)).toBeUndefined()
  })

  test("two directories on one database never keep a cap that was changed before their last poll", async () => {
    const { secret, row } = await createKey()
    const scope = { organizationId, scope: "key", subject: row.id } as const
    const created = await createLimit(sql, ACTOR, scope, { kind: "requests", window: "day", cap: 0n })
    if (created.kind !== "created") throw new Error(created.kind)
    const both = [openDirectory(), openDirectory()]
    for (let cap = 1n; cap <= 30n; cap++) {
      // Look-ups start at any moment around the change.
      const looking = both.flatMap((directory) => [directory.identify(secret), directory.poll()])
      const change = { cap }
      const changing = changeLimit(sql, ACTOR, created.row.id, change)
      const during = both.flatMap((directory) => [directory.poll(), directory.identify(secret)])
      await Promise.all([...looking, changing, ...during])
      await Promise.all(both.map((directory) => directory.poll()))
      for (const directory of both) {
        expect(await directory.identify(secret)).toMatchObject({ kind: "caller", key: { limits: [{ cap }] } })
      }
    }
  })
})

describe("while Postgres is away", () => {
  test("a known key is answered from the cache, and an unknown one is unavailable without waiting for Postgres", async () => {
    const { directory, lossy, goAway } = openLossy()
    const { secret } = await createKey()
    expect(directory.identifyCached(secret)).toBeUndefined()
    expect((await directory.identify(secret)).kind).toBe("caller")
    await goAway()
    expect(directory.identifyCached(secret)?.kind).toBe("caller")
    const { opened } = lossy
    const scanned = Array.from({ length: 50 }, () => directory.identify(mintVirtualKey("key_abcdefghijkl")))
    expect((await Promise.all(scanned)).every(({ kind }) => kind === "unavailable")).toBe(true)
    expect(lossy.opened).toBe(opened)
    lossy.isAway = false
    await directory.poll()
    expect((await directory.identify(mintVirtualKey("key_abcdefghijkl"))).kind).toBe("refused")
  })

  test("a key is trusted no longer than the age after the last poll that confirmed it, and comes back with Postgres", async () => {
    const { directory, lossy, goAway } = openLossy()
    const { secret } = await createKey()
    await directory.poll()
    await directory.identify(secret)
    nowMs += UNCONFIRMED_MS_MAX
    await directory.poll()
    await goAway()
    nowMs += UNCONFIRMED_MS_MAX
    expect((await directory.identify(secret)).kind).toBe("caller")
    nowMs += 1
    expect(directory.identifyCached(secret)).toBeUndefined()
    expect((await directory.identify(secret)).kind).toBe("unavailable")
    lossy.isAway = false
    await directory.poll()
    expect((await directory.identify(secret)).kind).toBe("caller")
  })

  test("a key that was read after the last poll is trusted from its reading on", async () => {
    const { directory, lossy } = openLossy()
    const { secret } = await createKey()
    await directory.poll()
    nowMs += 1_000
    await directory.identify(secret)
    lossy.isAway = true
    nowMs += UNCONFIRMED_MS_MAX
    expect(directory.identifyCached(secret)?.kind).toBe("caller")
    nowMs += 1
    expect(directory.identifyCached(secret)).toBeUndefined()
  })

  test("a Postgres that takes connections and never answers holds up neither look-up nor poll, and is left for one that answers", async () => {
    const silent = await startSilentServer()
    const url = new URL(databaseUrl)
    url.port = String((silent.address() as AddressInfo).port)
    let opened = 0
    const directory = openDirectory(() => {
      opened++
      return openPostgres(opened <= 2 ? url.href : databaseUrl, { max: 2, applicationName: "test" })
    })
    const { secret } = await createKey()
    expect((await directory.identify(secret)).kind).toBe("unavailable")
    await directory.poll()
    expect(opened).toBe(2)
    expect((await directory.identify(secret)).kind).toBe("unavailable")
    await directory.poll()
    expect((await directory.identify(secret)).kind).toBe("caller")
    silent.close()
  })
})

async function startSilentServer(): Promise<Server> {
  const server = createServer((socket) => void socket.on("error", () => socket.destroy()).resume())
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return server
}
