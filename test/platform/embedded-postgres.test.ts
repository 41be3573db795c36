/** The embedded Postgres behaves like a server with many connections, and loses nothing it has acknowledged. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { isConnectionLost, openPostgres, type Sql, sqlState } from "../../src/platform/postgres.ts"

const PROGRAM = new URL("../../src/platform/embedded-postgres.ts", import.meta.url).href

let folder: string
const started: EmbeddedPostgres[] = []
let pools: Sql[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tallygate-embedded-"))
})
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.end({ timeout: 1 })))
  pools = []
})
afterAll(async () => {
  await Promise.all(started.map((database) => database.stop()))
  rmSync(folder, { recursive: true, force: true })
})

async function start(name: string): Promise<EmbeddedPostgres> {
  const database = await startEmbeddedPostgres({ dataDir: join(folder, name) })
  started.push(database)
  return database
}

function open(database: { url: string }, max = 1): Sql {
  const sql = openPostgres(database.url, { max, applicationName: "embedded-postgres.test" })
  pools.push(sql)
  return sql
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("one served directory", () => {
  let database: EmbeddedPostgres
  beforeAll(async () => {
    database = await start("served")
  })

  test("a wrong password is refused", async () => {
    const wrong = new URL(database.url)
    wrong.password = "guess"
    await expect(open({ url: wrong.href })`SELECT 1`).rejects.toMatchObject({ code: "28P01" })
  })

  test("a database that is not there is refused by name", async () => {
    const wrong = new URL(database.url)
    wrong.pathname = "/elsewhere"
    await expect(open({ url: wrong.href })`SELECT 1`).rejects.toMatchObject({ code: "3D000" })
  })

  test("after an error the connection goes on, inside and outside a transaction", async () => {
    const sql = open(database)
    await expect(sql`SELECT nothing_there`).rejects.toMatchObject({ code: "42703" })
    await expect(sql`SELEC 1`).rejects.toMatchObject({ code: "42601" })
    await expect(sql`SELECT 1 / ${0}::int`).rejects.toMatchObject({ code: "22012" })
    await expect(sql.begin((transaction) => transaction`SELECT nothing_there`)).rejects.toMatchObject({ code: "42703" })
    expect(await sql`SELECT 7 AS seven`).toEqual([{ seven: 7 }])
  })

  test("COPY FROM STDIN is refused, simple or prepared, and everybody goes on", async () => {
    const sql = open(database)
    const other = open(database)
    await sql`CREATE TABLE copied (n int)`
    await expect(sql`COPY copied FROM STDIN`.execute()).rejects.toThrow(/takes no COPY FROM STDIN/)
    await expect(sql`COPY copied FROM STDIN`.simple()).rejects.toThrow(/takes no COPY FROM STDIN/)
    await expect(sql`INSERT INTO copied VALUES (1); COPY copied FROM STDIN`.simple()).rejects.toThrow(/takes no COPY/)
    expect(await other`SELECT count(*)::int AS n FROM copied`).toEqual([{ n: 0 }])
    expect(await sql`SELECT count(*)::int AS n FROM copied WHERE 'copy' <> ''`).toEqual([{ n: 0 }])
  })

  test("eight connections mixing transactions and queries, driver defaults, zero errors, none meets another's transaction", async () => {
    const sql = open(database, 8)
    await sql`CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)`
    await sql`INSERT INTO accounts SELECT id, 100 FROM generate_series(1, 8) id`
    const sums: number[] = []
    const transfer = (worker: number, step: number) =>
      sql.begin(async (transaction) => {
        await transaction`UPDATE accounts SET balance = balance - ${step} WHERE id = ${worker + 1}`
        // Half of the sum is missing here: whoever reads now without owning the backend sees it.
        await new Promise(setImmediate)
        await transaction`UPDATE accounts SET balance = balance + ${step} WHERE id = ${((worker + step) % 8) + 1}`
        if (step % 5 === 0) throw new Error("rolled back on purpose")
      })
    const worker = async (number: number) => {
      for (let step = 1; step <= 20; step++) {
        const rolledBack = transfer(number, step).then(
          () => false,
          (error: Error) => error.message === "rolled back on purpose" || Promise.reject(error),
        )
        const sum = sql<
          { sum: number; depth: boolean }[]
        >`SELECT sum(balance)::int AS sum FROM accounts WHERE id > ${-step}`
        sums.push((await sum)[0]?.sum ?? Number.NaN)
        expect(await rolledBack).toBe(step % 5 === 0)
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, number) => worker(number)))
    expect(sums.length).toBe(160)
    expect(new Set(sums)).toEqual(new Set([800]))
    expect(await sql`SELECT sum(balance)::int AS sum FROM accounts`).toEqual([{ sum: 800 }])
  })

  test("queries pipelined on one connection are answered in order", async () => {
    const sql = open(database)
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => sql`SELECT ${n}::int AS n`))
    expect(answers.map((rows) => rows[0]?.n)).toEqual(Array.from({ length: 200 }, (_, n) => n))
  })

  test("a large answer and a large parameter pass whole", async () => {
    const sql = open(database)
    const text = "ä".repeat(1_500_000)
    expect((await sql`SELECT ${text}::text AS text`)[0]?.text).toBe(text)
    const rows = await sql`SELECT n, repeat('x', 500) AS fill FROM generate_series(1, 20000) n`
    expect(rows.length).toBe(20_000)
    expect(rows.at(-1)).toEqual({ n: 20_000, fill: "x".repeat(500) })
  })

  test("int8 and numeric arrive as exact strings, a bigint is sent as int8", async () => {
    const sql = open(database)
    const rows =
      await sql`SELECT ${9_007_199_254_740_993n}::int8 AS tokens, 123456789012.000000000001::numeric(24,12) AS usd`
    expect(rows).toEqual([{ tokens: "9007199254740993", usd: "123456789012.000000000001" }])
  })

  test("a client that dies in the middle of a transaction is rolled back and the others go on", async () => {
    const sql = open(database)
    await sql`CREATE TABLE half_done (n int)`
    const program = `import { openPostgres } from ${JSON.stringify(PROGRAM.replace("embedded-postgres.ts", "postgres.ts"))}
      const sql = openPostgres(process.argv[1], { max: 1, applicationName: "dying" })
      await sql.begin(async (transaction) => {
        await transaction\`INSERT INTO half_done VALUES (1)\`
        process.kill(process.pid, "SIGKILL")
      })`
    const dying = spawn(process.execPath, ["--input-type=module", "-e", program, database.url], { stdio: "inherit" })
    expect((await once(dying, "exit"))[1]).toBe("SIGKILL")
    expect(await sql`SELECT count(*)::int AS n FROM half_done`).toEqual([{ n: 0 }])
  })

  test("what a connection prepared is gone when it closes", async () => {
    const leaving = openPostgres(database.url, { max: 3, applicationName: "leaving" })
    const texts = Array.from({ length: 30 }, (_, n) => `SELECT $1::int + ${n} AS n`)
    await Promise.all(texts.map((text) => leaving.unsafe(text, [1], { prepare: true })))
    const sql = open(database)
    const prepared = async () =>
      (
        await sql<
          { n: number }[]
        >`SELECT count(*)::int AS n FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int + %'`
      )[0]?.n
    expect(await prepared()).toBeGreaterThanOrEqual(30)
    await leaving.end()
    await vi.waitFor(async () => expect(await prepared()).toBe(0))
  })

  test("a message the backend would die of ends only the connection that sent it", async () => {
    const port = Number(new URL(database.url).port)
    const socket = connect(port, "127.0.0.1")
    const received: Buffer[] = []
    socket.on("data", (chunk) => received.push(chunk))
    socket.write(Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]))
    await once(socket, "close")
    expect(Buffer.concat(received).toString()).toContain("invalid message length")
    expect(await open(database)`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })

  test("a second starter on the same directory is refused and told which process has it", async () => {
    const refused = startEmbeddedPostgres({ dataDir: join(folder, "served") })
    await expect(refused).rejects.toMatchObject({
      reason: "locked",
      pid: database.pid,
      message: expect.stringContaining(`process ${database.pid}, started by process ${process.pid}`),
    })
    expect(await open(database)`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })

  test("Ctrl-C and SIGTERM do not reach it: it serves until its parent lets go", async () => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(database.pid, signal)
    expect(await open(database)`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })
})

describe("a directory over time", () => {
  test("a restart keeps the data and takes a new password", async () => {
    const first = await start("kept")
    await open(first)`CREATE TABLE kept AS SELECT 42 AS n`
    await first.stop()
    expect(await first.exited).toEqual({ code: 0, signal: null })
    const second = await start("kept")
    expect(new URL(second.url).password).not.toBe(new URL(first.url).password)
    expect(await open(second)`SELECT n FROM kept`).toEqual([{ n: 42 }])
    await second.stop()
  })

  test("kill -9, then a restart, keeps every acknowledged row", async () => {
    const killed = await start("killed")
    const sql = open(killed, 4)
    await sql`CREATE TABLE rows (n int PRIMARY KEY)`
    const acknowledged: number[] = []
    const errors: unknown[] = []
    const writer = async (from: number) => {
      for (let n = from; errors.length === 0; n += 4) {
        await sql`INSERT INTO rows VALUES (${n})`.then(
          () => {
            acknowledged.push(n)
            // Here, and so once: another writer's failure finds the count unchanged.
            if (acknowledged.length === 400) process.kill(killed.pid, "SIGKILL")
          },
          (error) => errors.push(error),
        )
      }
    }
    await Promise.all([0, 1, 2, 3].map(writer))
    expect(await killed.exited).toEqual({ code: null, signal: "SIGKILL" })
    expect(errors.map((error) => isConnectionLost(error))).not.toContain(false)
    const restarted = await start("killed")
    const kept = new Set((await open(restarted)<{ n: number }[]>`SELECT n FROM rows`).map((row) => row.n))
    expect(acknowledged.length).toBeGreaterThanOrEqual(400)
    expect(acknowledged.filter((n) => !kept.has(n))).toEqual([])
    await restarted.stop()
  })

  test("an orphan exits when its parent is killed, even amid a statement without end, and frees the directory", async () => {
    const dataDir = join(folder, "kept")
    const program = `import { startEmbeddedPostgres } from ${JSON.stringify(PROGRAM)}
      const database = await startEmbeddedPostgres({ dataDir: process.argv[1] })
      console.log(JSON.stringify({ pid: database.pid, url: database.url }))`
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program, dataDir], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const [line] = (await once(createInterface(parent.stdout), "line")) as [string]
    const orphan = JSON.parse(line) as { pid: number; url: string }
    const sql = open(orphan)
    await sql`SELECT 1`
    const endless =
      sql`WITH RECURSIVE forever AS (SELECT 1 AS n UNION ALL SELECT 1 FROM forever) SELECT count(*) FROM forever`.catch(
        sqlState,
      )
    // The other connection's unanswered question shows that the backend is busy for good.
    const waiting = open(orphan)`SELECT 1`.catch(sqlState)
    const isBusy = await Promise.race([
      waiting.then(() => false),
      new Promise((resolve) => setTimeout(resolve, 1_000, true)),
    ])
    expect(isBusy).toBe(true)
    parent.kill("SIGKILL")
    await vi.waitFor(() => expect(isAlive(orphan.pid)).toBe(false), { timeout: 20_000, interval: 50 })
    await Promise.all([endless, waiting])
    const next = await start("kept")
    expect(await open(next)`SELECT n FROM kept`).toEqual([{ n: 42 }])
    await next.stop()
  }, 60_000)

  test("a first start that was cut short is begun again", async () => {
    const dataDir = join(folder, "cut-short")
    mkdirSync(join(dataDir, "cluster"), { recursive: true })
    writeFileSync(join(dataDir, "cluster-unfinished"), "")
    writeFileSync(join(dataDir, "cluster", "PG_VERSION"), "18\n")
    const database = await start("cut-short")
    expect(await open(database)`SELECT 1 AS one`).toEqual([{ one: 1 }])
    expect(existsSync(join(dataDir, "cluster-unfinished"))).toBe(false)
    await database.stop()
  })

  test("files of another Postgres version are refused, and left alone", async () => {
    const dataDir = join(folder, "old")
    mkdirSync(join(dataDir, "cluster"), { recursive: true })
    writeFileSync(join(dataDir, "cluster", "PG_VERSION"), "16\n")
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
      reason: "version",
      message: expect.stringMatching(/written by Postgres 16, .* embeds Postgres 18/),
    })
    expect(readdirSync(join(dataDir, "cluster"))).toEqual(["PG_VERSION"])
  })

  test("a folder that holds something else is refused, and left alone", async () => {
    const dataDir = join(folder, "foreign")
    mkdirSync(join(dataDir, "cluster"), { recursive: true })
    writeFileSync(join(dataDir, "cluster", "thesis.txt"), "mine")
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({ reason: "corrupted" })
    expect(readdirSync(join(dataDir, "cluster"))).toEqual(["thesis.txt"])
  })

  test("a damaged database is refused with what Postgres said of it", async () => {
    const dataDir = join(folder, "cut-short")
    truncateSync(join(dataDir, "cluster", "global", "pg_control"), 100)
    await expect(startEmbeddedPostgres({ dataDir, startTimeoutMs: 20_000 })).rejects.toMatchObject({
      reason: "corrupted",
      message: expect.stringContaining("pg_control"),
    })
  })

  test("a directory that cannot be made is refused", async () => {
    const file = join(folder, "a-file")
    writeFileSync(file, "")
    await expect(startEmbeddedPostgres({ dataDir: join(file, "data") })).rejects.toMatchObject({ reason: "unwritable" })
  })

  test("a directory without write permission is refused", async () => {
    // Root may write anywhere but in a file system that takes no folders.
    const dataDir = process.getuid?.() === 0 ? "/proc/tallygate" : join(folder, "read-only")
    if (process.getuid?.() !== 0) mkdirSync(dataDir, { mode: 0o500 })
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({ reason: "unwritable" })
  })

  test("a start that takes too long is given up", async () => {
    const error = await startEmbeddedPostgres({ dataDir: join(folder, "slow"), startTimeoutMs: 1 }).catch(
      (cause: unknown) => cause,
    )
    expect(error).toMatchObject({ reason: "timeout" })
  })
})
