/** `tallygate doctor`: every fault, seeded on real parts, is found and comes with what mends it. */
import { randomUUID } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type AddressInfo, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import type { CommandOutput } from "../../src/cli/command.ts"
import type { Finding, Means } from "../../src/cli/doctor/finding.ts"
import { runDoctor } from "../../src/cli/doctor.ts"
import { createAccount } from "../../src/identity/provider-account-registry.ts"
import { BatchPacker } from "../../src/ledger/journal-batch.ts"
import { lockJournal, segmentPath } from "../../src/ledger/journal-file.ts"
import { Quarantine } from "../../src/ledger/quarantine.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { runOf, tallygate } from "./run-command.ts"

const CANARY = "canary-secret"

let databaseUrl: string
let goodRedis: RealRedis
let folder: string
let servers: Server[]
/** A sound installation; a test breaks one thing of it. */
let env: Record<string, string>

beforeAll(async () => {
  goodRedis = await startRealRedis()
  databaseUrl = await migratedDatabase()
})
afterAll(() => goodRedis?.stop())
beforeEach(() => {
  servers = []
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-doctor-"))
  env = { PORT: "0", TALLYGATE_DATA: folder, DATABASE_URL: databaseUrl, REDIS_URL: goodRedis.url }
})
afterEach(() => {
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true })
})

async function migratedDatabase(): Promise<string> {
  const url = await createDatabase(inject("postgresUrl"))
  const { exitCode, stderr } = await tallygate(["migrate"], { env: { DATABASE_URL: url }, cwd: tmpdir() })
  expect([exitCode, stderr]).toEqual([0, ""])
  return url
}

function write(yaml: string, prices?: string): void {
  writeFileSync(path.join(folder, "proxy.config.yaml"), yaml)
  if (prices !== undefined) writeFileSync(path.join(folder, "prices.yaml"), prices)
}

type Diagnosis = { readonly exitCode: number; readonly findings: readonly Finding[]; readonly problems: number }

async function diagnose(means: Partial<Means> = {}): Promise<Diagnosis> {
  const command = (args: readonly string[], given: object, cwd: string, out: CommandOutput) =>
    runDoctor(args, given as Record<string, string>, cwd, out, { nowMs: Date.now, answerMsMax: 20_000, ...means })
  const { exitCode, stdout, stderr } = await runOf(command, ["--json"], { env, cwd: folder })
  expect(stderr).toBe("")
  expect(stdout).not.toContain(CANARY)
  return { exitCode, ...JSON.parse(stdout) }
}

/** What is not well, of the things that a test can break: the shipped prices grow old by themselves. */
function unwell({ findings }: Diagnosis): Finding[] {
  const isShipped = ({ text }: Finding) => /^Nothing in [\w-]+\.yaml /.test(text)
  return findings.filter((one) => (one.state === "warning" || one.state === "problem") && !isShipped(one))
}

/** The one finding that is not well, which makes the exit code. */
async function theOneFault(means?: Partial<Means>): Promise<Finding> {
  const found = await diagnose(means)
  const [fault, ...others] = unwell(found)
  expect(others).toEqual([])
  if (fault === undefined) throw new Error("nothing was found")
  expect(found.exitCode).toBe(fault.state === "problem" ? 1 : 0)
  return fault
}

function problemOf(check: string, text: RegExp, fix: RegExp) {
  return { check, state: "problem", text: expect.stringMatching(text), fix: expect.stringMatching(fix) }
}

function warningOf(check: string, text: RegExp, fix: RegExp) {
  return { ...problemOf(check, text, fix), state: "warning" }
}

async function listen(server: Server): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}

function answering(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  return listen(createHttpServer(answer))
}

describe("the configuration", () => {
  test("every problem of it is one, and the rest waits until it is right", async () => {
    write(`sandbox: 3\nadmin_key: "${CANARY} x"\n`)
    const { exitCode, findings } = await diagnose()
    expect(exitCode).toBe(1)
    expect(findings).toEqual([
      problemOf(
        "config",
        /^proxy\.config\.yaml:1:10: sandbox: found 3/,
        /^Set sandbox in proxy\.config\.yaml to true, false or auto\./,
      ),
      problemOf("config", /admin_key: found ‹hidden›/, /^Set admin_key in proxy\.config\.yaml to a key without spaces/),
      { check: "everything else", state: "skipped", text: expect.any(String), fix: null },
    ])
  })
})

describe("the data folder", () => {
  test("one that cannot be made is found", async () => {
    writeFileSync(path.join(folder, "file"), "")
    env.TALLYGATE_DATA = path.join(folder, "file", "data")
    const { findings } = await diagnose()
    expect(findings).toContainEqual(
      problemOf("data folder", /cannot be written: .*ENOTDIR/, /set TALLYGATE_DATA to a folder/),
    )
  })

  test("one that is a file is found", async () => {
    env.TALLYGATE_DATA = path.join(folder, "file")
    writeFileSync(env.TALLYGATE_DATA, "")
    const { findings } = await diagnose()
    expect(findings).toContainEqual(problemOf("data folder", /file cannot be written/, /`chown` or `chmod`/))
  })

  test("one that is not there yet is no fault, and looking leaves nothing behind", async () => {
    env.TALLYGATE_DATA = path.join(folder, "a", "b")
    expect(unwell(await diagnose())).toEqual([])
    env.TALLYGATE_DATA = folder
    expect(unwell(await diagnose())).toEqual([])
    expect(readdirSync(folder)).toEqual([])
  })
})

describe("the port", () => {
  test("one that something else has is found", async () => {
    env.PORT = String(await listen(createServer((socket) => socket.end("220 smtp\r\n"))))
    expect(await theOneFault()).toEqual(
      problemOf("port", /taken by something that is not Tallygate/, /^Stop what listens there .* or set PORT/),
    )
  })

  test("another web server is not taken for a Tallygate", async () => {
    env.PORT = String(await answering((_, response) => void response.end('{"status":"ok"}')))
    expect(await theOneFault()).toMatchObject({ check: "port", state: "problem" })
  })

  test("a free one is none, nor is one that is any free one", async () => {
    const { findings } = await diagnose()
    expect(findings).toContainEqual({ check: "port", state: "skipped", text: expect.any(String), fix: null })
    env.PORT = String(await freePort())
    expect(unwell(await diagnose())).toEqual([])
  })

  test("one that a Tallygate has is none", async () => {
    env.PORT = String(await answering((_, response) => void response.end('{"status":"alive","version":"9.8.7"}')))
    const found = await diagnose()
    expect(unwell(found)).toEqual([])
    expect(found.findings).toContainEqual(
      expect.objectContaining({ check: "port", text: expect.stringContaining("Tallygate 9.8.7 listens on") }),
    )
  })

  test("an address that this machine does not have is found", async () => {
    Object.assign(env, { HOST: "192.0.2.1", PORT: String(await freePort()) })
    expect(await theOneFault()).toEqual(
      problemOf("port", /\(EADDRNOTAVAIL\)/, /^Set HOST to an address of this machine/),
    )
  })
})

describe("the database", () => {
  const changed = (change: (url: URL) => void) => {
    const url = new URL(databaseUrl)
    change(url)
    return url.href
  }

  test("a wrong password is found, and not repeated", async () => {
    env.DATABASE_URL = changed((url) => {
      url.password = CANARY
    })
    expect(await theOneFault()).toEqual(
      problemOf(
        "database",
        /^Postgres refuses: .*password authentication failed/,
        /password into DATABASE_URL .*ALTER ROLE/,
      ),
    )
  })

  test("a database that there is not is found", async () => {
    env.DATABASE_URL = changed((url) => {
      url.pathname = "/nowhere"
    })
    expect(await theOneFault()).toEqual(
      problemOf("database", /"nowhere" does not exist/, /^Make the database \(CREATE DATABASE/),
    )
  })

  test("a server that cannot be reached is found", async () => {
    env.DATABASE_URL = `postgres://u:${CANARY}@127.0.0.1:${await freePort()}/ledger`
    expect(await theOneFault()).toEqual(
      problemOf(
        "database",
        /^Postgres cannot be reached: .*ECONNREFUSED/,
        /^Start Postgres, and check host and port in DATABASE_URL/,
      ),
    )
  })

  test("a server that accepts and is silent is found within a bound", async () => {
    env.DATABASE_URL = `postgres://u:${CANARY}@127.0.0.1:${await listen(createServer(() => undefined))}/ledger`
    expect(await theOneFault({ answerMsMax: 500 })).toEqual(
      problemOf("database", /did not answer within 500 ms/, /^Start Postgres/),
    )
  })

  test("migrations that are not applied are found", async () => {
    env.DATABASE_URL = await createDatabase(inject("postgresUrl"))
    const found = await diagnose()
    expect(unwell(found)).toEqual([
      problemOf("migrations", /^Not applied yet: 0001_identity, /, /^Run `tallygate migrate`/),
    ])
    expect(found.findings).toContainEqual(expect.objectContaining({ check: "partitions", state: "skipped" }))
  })

  test("a partition of this month or the next one that is missing is found, and `migrate` mends it", async () => {
    env.DATABASE_URL = await migratedDatabase()
    const sql = openPostgres(env.DATABASE_URL, { max: 1, applicationName: "test" })
    const tables = await sql<{ name: string }[]>`
      SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'usage_records'::regclass ORDER BY 1`
    for (const { name } of tables.slice(0, 2)) {
      await sql.unsafe(`DROP TABLE ${name}`)
      expect(await theOneFault()).toEqual(
        problemOf("partitions", new RegExp(`no partition .*${name}`), /^Run `tallygate migrate`/),
      )
    }
    await sql.end()
    expect((await tallygate(["migrate"], { env, cwd: folder })).exitCode).toBe(0)
    expect(unwell(await diagnose())).toEqual([])
  })

  test.each([[3_600_000], [-3_600_000]])(
    "a clock that is %d ms off is found, of Postgres and of Redis",
    async (aheadMs) => {
      const way = aheadMs > 0 ? "behind" : "ahead of"
      expect(unwell(await diagnose({ nowMs: () => Date.now() + aheadMs }))).toEqual([
        problemOf("clock", new RegExp(`^The clock of Postgres is 3[56]\\d\\d s ${way} this machine's`), /by NTP/),
        problemOf("redis", /^The clock of Redis is -?\d+ ms from this machine's/, /by NTP/),
      ])
    },
  )
})

describe("Redis", () => {
  test("one that evicts, and one that writes no append-only file, are found", async () => {
    const redis = await startRealRedis({ settings: { "maxmemory-policy": "allkeys-lru", appendonly: "no" } })
    try {
      env.REDIS_URL = redis.url
      expect(unwell(await diagnose())).toEqual([
        problemOf("redis", /maxmemory-policy allkeys-lru/, /^Run `redis-cli CONFIG SET maxmemory-policy noeviction`/),
        warningOf("redis", /no append-only file/, /^Run `redis-cli CONFIG SET appendonly yes`/),
      ])
    } finally {
      await redis.stop()
    }
  })

  test("one that cannot be reached is found", async () => {
    env.REDIS_URL = `redis://:${CANARY}@127.0.0.1:${await freePort()}`
    expect(await theOneFault()).toEqual(
      problemOf(
        "redis",
        /^Redis cannot be reached: ECONNREFUSED\.$/,
        /^Start Redis, and check host, port and password in REDIS_URL/,
      ),
    )
  })

  test("one that asks for a password is found", async () => {
    const redis = await startRealRedis({ settings: { requirepass: "another" } })
    try {
      for (const credential of ["", `:${CANARY}@`]) {
        env.REDIS_URL = redis.url.replace("redis://", `redis://${credential}`)
        expect(await theOneFault()).toEqual(problemOf("redis", /NOAUTH|WRONGPASS/, /password in REDIS_URL/))
      }
    } finally {
      await redis.stop()
    }
  })
})

describe("the price book", () => {
  const prices = (checked: string, input = "1") =>
    `provider: acme\nmodels:\n  a: { rates: { standard: { input: ${input} } }, source: s, checked: ${checked} }\n`

  test("prices at which nobody has looked for more than 60 days are found", async () => {
    const day = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10)
    write("prices: { files: [prices.yaml] }", prices(day(62)))
    expect(await theOneFault()).toEqual(
      warningOf(
        "prices",
        /prices\.yaml was compared with its source for 6\d days/,
        /^Compare the file with the provider's price page/,
      ),
    )
    write("prices: { files: [prices.yaml] }", prices(day(59)))
    expect(unwell(await diagnose())).toEqual([])
  })

  test("a price that cannot be read is found", async () => {
    write("prices: { files: [prices.yaml] }", prices("2026-11-01", "1e3"))
    expect(await theOneFault()).toEqual(
      problemOf("prices", /prices\.yaml:3 models\.a\..*found 1e3/, /^Mend that line; `tallygate prices check`/),
    )
  })
})

describe("providers", () => {
  const provider = (name: string, port: number, more = "") =>
    `  ${name}: { dialect: openai, base_url: "http://127.0.0.1:${port}/v1", api_key: ${CANARY}${more} }\n`

  test("a credential that is refused is found, in each API, and is not shown", async () => {
    const asked: string[] = []
    const port = await answering(({ url, headers }, response) => {
      const credential = headers["x-api-key"] ?? headers["x-goog-api-key"] ?? headers.authorization
      asked.push(`${url} ${credential} ${headers["anthropic-version"] ?? ""}`.trim())
      // An API key that is none is an invalid argument to Google.
      response.writeHead(url?.startsWith("/v1beta") ? 400 : 401).end(`{"error":"${CANARY}"}`)
    })
    write(
      `providers:\n${provider("one", port)}${provider("two", port).replace("openai", "anthropic")}${provider("three", port).replace("openai", "google").replace("/v1", "/v1beta")}`,
    )
    const fix = (name: string) => new RegExp(`^Give a key to account default of provider ${name} .* that is valid`)
    expect(unwell(await diagnose())).toEqual([
      problemOf("provider one", /answers 401 .*the credential is refused/, fix("one")),
      problemOf("provider two", /answers 401 .*the credential is refused/, fix("two")),
      problemOf("provider three", /answers 400 .*the credential is refused/, fix("three")),
    ])
    expect(asked.sort()).toEqual([
      `/v1/models Bearer ${CANARY}`,
      `/v1/models ${CANARY} 2023-06-01`,
      `/v1beta/models ${CANARY}`,
    ])
  })

  test("one that cannot be reached is found", async () => {
    write(`providers:\n${provider("gone", await freePort())}`)
    expect(await theOneFault()).toEqual(
      problemOf("provider gone", /cannot be reached: ECONNREFUSED/, /^Check providers\.gone\.base_url/),
    )
  })

  test("one without a key that asks for one is found", async () => {
    const port = await answering((_, response) => void response.writeHead(403).end())
    write(`providers:\n  open: { dialect: openai, base_url: "http://127.0.0.1:${port}" }\n`)
    expect(await theOneFault()).toEqual(
      problemOf("provider open", /answers 403/, /^Give a key to account default of provider open \(.*\)\.$/),
    )
  })

  test("one that fails, sends elsewhere or lists no models is doubtful, and is not followed with the credential", async () => {
    const asked: string[] = []
    const port = await answering(({ url = "" }, response) => {
      asked.push(url)
      if (url === "/elsewhere") response.end()
      else if (url.startsWith("/sends")) response.writeHead(302, { location: "/elsewhere" }).end()
      else response.writeHead(url.startsWith("/lists-none") ? 404 : 503).end()
    })
    const at = (name: string) => provider(name, port).replace("/v1", `/${name}`)
    write(`providers:\n${at("lists-none")}${at("fails")}${at("sends")}`)
    expect(unwell(await diagnose())).toEqual([
      warningOf("provider lists-none", /answers 404 .*is not known/, /^Make a call/),
      warningOf("provider fails", /answers 503/, /^Try again/),
      warningOf("provider sends", /answers 302/, /^Try again/),
    ])
    expect(asked).not.toContain("/elsewhere")
  })

  test("accounts that were made by API are tried too, and one that cannot be decrypted is found", async () => {
    const asked: unknown[] = []
    const port = await answering(({ headers }, response) => {
      asked.push(headers.authorization)
      response.writeHead(headers.authorization === `Bearer ${CANARY}` ? 200 : 401).end()
    })
    const [text, lost] = [newEncryptionKey(), newEncryptionKey()]
    env.DATABASE_URL = await migratedDatabase()
    const sql = openPostgres(env.DATABASE_URL, { max: 1, applicationName: "test" })
    for (const [name, key] of [
      ["b", text],
      ["c", lost],
    ] as const) {
      const account = { provider: "mine", name, secret: `${CANARY}-${name}` }
      await createAccount(sql, new SecretBox(readEncryptionKey(key)), { name: "test", ip: "" }, account)
    }
    await sql.end()
    write(`encryption_key: "${text}"\nproviders:\n${provider("mine", port)}`)
    expect(unwell(await diagnose())).toEqual([
      problemOf("provider mine/b", /answers 401/, /^Give a key to account b of provider mine/),
      problemOf("provider mine/c", /cannot be decrypted: /, /encryption_key_previous/),
    ])
    expect(asked.sort()).toEqual([`Bearer ${CANARY}`, `Bearer ${CANARY}-b`])
    env.DATABASE_URL = `postgres://127.0.0.1:${await freePort()}/ledger`
    const away = await diagnose()
    expect(unwell(away).map(({ check }) => check)).toEqual(["database"])
    expect(away.findings).toContainEqual(expect.objectContaining({ check: "provider accounts", state: "skipped" }))
  })

  test("the sandbox, and those to which callers bring credentials, are skipped and said to be", async () => {
    write(
      `sandbox: true\nproviders:\n${provider("theirs", await freePort(), ", credential: caller").replace(`api_key: ${CANARY}, `, "")}`,
    )
    const found = await diagnose()
    expect(unwell(found)).toEqual([])
    expect(found.findings.filter(({ check }) => check.startsWith("provider "))).toEqual([
      { check: "provider sandbox", state: "skipped", text: "built in", fix: null },
      { check: "provider theirs", state: "skipped", text: "each caller brings a credential of its own", fix: null },
    ])
  })
})

describe("the journal", () => {
  const journalId = randomUUID()
  const directory = () => path.join(folder, "journal")

  function writeJournal(rows: readonly ["s" | "e", UsageRecord][]): void {
    mkdirSync(directory(), { recursive: true })
    const packer = new BatchPacker()
    for (const [kind, record] of rows) packer.add(kind, record.id, JSON.stringify(record))
    writeFileSync(segmentPath(directory(), journalId, 1), packer.take(1))
  }

  test("what a dead process left is found: calls that ended, and those that it never ended", async () => {
    const [ended, open] = [sampleRecord(), sampleRecord()]
    writeJournal([
      ["s", ended],
      ["s", open],
      ["e", ended],
    ])
    expect(await theOneFault()).toEqual(
      problemOf("journal", /^2 records in .*journal are not in the ledger\.$/, /^Start Tallygate on this data folder/),
    )
  })

  test("what the ledger has already is none", async () => {
    const ended = sampleRecord()
    writeJournal([
      ["s", ended],
      ["e", ended],
    ])
    const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
    await sql`INSERT INTO journal_ack (journal_id, last_seq) VALUES (${journalId}, 2)`
    expect(unwell(await diagnose())).toEqual([])
    await sql`UPDATE journal_ack SET last_seq = 1`
    expect(await theOneFault()).toMatchObject({ check: "journal", state: "problem" })
    await sql`DELETE FROM journal_ack`
    await sql.end()
  })

  test("of a running process, only what has waited for long is a fault", async () => {
    const endedAt = (ms: number) => sampleRecord({ time: new Date(ms - 5_000).toISOString(), duration_ms: 5_000 })
    writeJournal([
      ["e", endedAt(Date.now())],
      ["s", endedAt(Date.now())],
    ])
    const lock = lockJournal(directory(), journalId)
    expect(unwell(await diagnose())).toEqual([])
    writeJournal([
      ["e", endedAt(Date.now() - 70_000)],
      ["s", endedAt(Date.now())],
    ])
    expect(await theOneFault()).toEqual(
      problemOf("journal", /^1 record in .* is not in the ledger\.$/, /^Read the log of the running Tallygate/),
    )
    lock?.release()
  })

  test("while the ledger cannot be asked, rows are told as doubtful", async () => {
    writeJournal([["e", sampleRecord()]])
    env.DATABASE_URL = `postgres://127.0.0.1:${await freePort()}/ledger`
    const faults = unwell(await diagnose())
    expect(faults.map(({ check }) => check)).toEqual(["database", "journal"])
    expect(faults[1]).toEqual(warningOf("journal", /holds 1 record; how many/, /^Keep the folder, mend the database/))
  })

  test("records that the ledger has refused are found, with where to read why", async () => {
    mkdirSync(directory())
    new Quarantine(directory()).add(journalId, { seq: 7, body: "{}" }, { sqlState: "22003", message: "out of range" })
    expect(await theOneFault()).toEqual(
      problemOf(
        "quarantine",
        /^The ledger has refused 1 record\.$/,
        /^Read why: sqlite3 .*quarantine\.sqlite "SELECT added_at, sql_state, message FROM quarantine"/,
      ),
    )
  })
})

describe("what people see", () => {
  test("one line a check, the fix below, the count last; colours on a terminal alone, unless NO_COLOR says no", async () => {
    env.DATABASE_URL = `postgres://127.0.0.1:${await freePort()}/ledger`
    const plain = await tallygate(["doctor"], { env, cwd: folder })
    expect(plain.exitCode).toBe(1)
    expect(plain.stdout).toMatch(/^ok {7}config +\S/)
    expect(plain.stdout).toMatch(/\nproblem {2}database +Postgres cannot be reached: .*\n +Fix: Start Postgres/)
    expect(plain.stdout).toMatch(/\n1 problem, \d warnings?\.\n$/)
    expect(plain.stdout).not.toContain("\u001b")
    const colored = await tallygate(["doctor"], { env, cwd: folder, isTTY: true })
    expect(colored.stdout).toContain("\u001b[31mproblem\u001b[39m  database")
    const refused = await tallygate(["doctor"], { env: { ...env, NO_COLOR: "1" }, cwd: folder, isTTY: true })
    expect(refused.stdout).not.toContain("\u001b")
  })
})
