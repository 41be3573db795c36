/** Backups and restores of a ledger on a real Postgres: every row comes back, or nothing is touched. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest"
import { BackupError, type Manifest, type Piece } from "../../src/ledger/backup.ts"
import { checkBackup, readBackup, writeBackup } from "../../src/ledger/backup-file.ts"
import { isJournalFile, journalPieces, placeJournals, stageJournals } from "../../src/ledger/backup-journals.ts"
import { readLedger } from "../../src/ledger/backup-read.ts"
import { madeByMigrations, readTables } from "../../src/ledger/backup-tables.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { readLedgerId } from "../../src/ledger/ledger-identity.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { QUARANTINE_FILE, Quarantine } from "../../src/ledger/quarantine.ts"
import { restoreLedger } from "../../src/ledger/restore.ts"
import { unfinishedRestore } from "../../src/ledger/restore-marker.ts"
import { makeRoom, readStanding } from "../../src/ledger/restore-target.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { type Migration, migrate, readMigrations } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { MIGRATIONS } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const RECORDS = 1_300
const MONTHS = 3
/** More than a page, with numbers for keys: as texts they would have another order. */
const SERIES = 1_100
const ORDINARY = { migrationsFolder: MIGRATIONS, codeVersion: "0.0.0-test", source: "a test", earlier: "" }
const mintId = uuidv7Mint()

let folder: string
let migrations: Migration[]
let source: Sql
let file: string
let manifest: Manifest
const opened: Sql[] = []

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-backup-test-"))
  migrations = await readMigrations(MIGRATIONS)
  source = await openNew()
  await migrate(source, MIGRATIONS, { codeVersion: "0.0.0-test" })
  await fill(source)
  file = path.join(folder, "backup.ndjson.gz")
  manifest = await backUp(source, file)
})
afterEach(async () => {
  for (const sql of opened.splice(1)) await sql.end()
})
afterAll(async () => {
  for (const sql of opened) await sql.end()
  rmSync(folder, { recursive: true, force: true })
})

async function openNew(): Promise<Sql> {
  return open(await createDatabase(inject("postgresUrl")))
}

function open(url: string): Sql {
  const sql = openPostgres(url, { max: 2, applicationName: "test" })
  opened.push(sql)
  return sql
}

async function backUp(sql: Sql, to: string): Promise<Manifest> {
  const made = { tallygateVersion: "0.0.0-test", nowMs: Date.now() }
  return (await readLedger(sql, migrations, (pieces) => writeBackup(to, made, pieces))).manifest
}

/** Tables by what their rows come to, the audit log left out: a restore adds an entry to it. */
function digests({ tables }: Manifest): Record<string, string> {
  const compared = tables.filter(({ table }) => table !== "audit_log")
  return Object.fromEntries(compared.map(({ table, rows, sha256 }) => [table, `${rows} ${sha256}`]))
}

/** Rows of every kind of value that the ledger's columns can hold. */
async function fill(sql: Sql): Promise<void> {
  await sql`INSERT INTO organizations (id, name, is_default) VALUES ('org_a', ${'Größe "x" \\ {a,b}\n\t日本 🦊'}, true), ('org_B', 'b', false)`
  await sql`INSERT INTO projects (id, organization_id, name) VALUES ('proj_a', 'org_a', ''), ('proj_Z', 'org_B', 'z')`
  await sql`INSERT INTO users (id, organization_id, name) VALUES ('user_a', 'org_a', 'A')`
  await sql`
    INSERT INTO virtual_keys (id, organization_id, project_id, user_id, name, secret_sha256, last4, allowed_models, expires_at)
    VALUES ('key_a', 'org_a', 'proj_a', 'user_a', 'k', ${Buffer.from([0, 255, 10, 92])}, 'abcd',
            ${["gpt-*", 'a"b', "c,d", "{}", "NULL", ""]}, 'infinity'),
           ('key_b', 'org_B', 'proj_Z', NULL, 'k', ${Buffer.alloc(32, 7)}, 'abcd', NULL, '2027-03-04 05:06:07.123456+02')`
  await sql`
    INSERT INTO limits (id, organization_id, scope, subject, kind, "window", cap)
    VALUES ('lim_usd', 'org_a', 'key', 'key_a', 'usd', 'month', 999999999999999999999999999999)`
  await sql`
    INSERT INTO audit_log (id, organization_id, actor, action, subject, before, after)
    VALUES ('aud_1', 'org_a', 'x', 'y', 'z', NULL, ${'{"n": 1.10, "s": "\\u00e9", "l": [null, true]}'}::text::jsonb)`
  await sql`INSERT INTO usage_series (organization_id, project_id, user_id, key_id, provider_account, provider, model_served,
    endpoint, tool, operation, tier_served, outcome, stream, usage_source, price_row)
    SELECT 'org_a', '', '', '', '', '', 'm' || n, '', '', '', '', '', false, '', '' FROM generate_series(1, ${SERIES}) n`
  await sql`INSERT INTO sessions (secret_sha256, user_id, expires_at) VALUES (${Buffer.alloc(32, 1)}, 'user_a', now())`
  await sql`
    INSERT INTO usage_once (organization_id, source, key, record_id, record_time, fingerprint, body)
    VALUES ('org_a', 'key:key_a', 'job "1"', gen_random_uuid(), now(), ${Buffer.from([0, 255])}, '{"id":"x"}')`
  await sql`INSERT INTO proxy_instances (id, journal_id) VALUES ('p', gen_random_uuid())`
  const start = Date.UTC(2026, 8, 1)
  await ensurePartitions(sql, start, Date.UTC(2026, 8 + MONTHS - 1))
  const records = Array.from({ length: RECORDS }, (_, index) =>
    sampleRecord({
      time: new Date(start + index * 5_600_000).toISOString(),
      organization_id: index % 2 === 0 ? "org_a" : "org_B",
      tags: [`t${index % 7}`, 'odd "tag", {x}'],
      metadata: { odd: 'a "quoted" \\ text' },
      cost_usd: index % 5 === 0 ? null : `0.${String(index).padStart(12, "0")}`,
    }),
  )
  const journalId = mintId(Date.now())
  for (let at = 0; at < records.length; at += 500) {
    const rows = records
      .slice(at, at + 500)
      .map((record, index) => ({ seq: at + index + 1, body: JSON.stringify(record) }))
    await ingest(sql, journalId, rows)
  }
}

describe("what a backup holds", () => {
  test("every table that the migrations make is in it, but those that tell of the running installation", async () => {
    const rows = await source<{ name: string }[]>`
      SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname`
    const copied = (await readTables(source, madeByMigrations(migrations))).map(({ name }) => name)
    const left = rows.map(({ name }) => name).filter((name) => !copied.includes(name))
    const running = ["login_failures", "proxy_instances", "schema_migrations", "sessions", "usage_holds"]
    expect(left).toEqual(["ledger_identity", ...running])
  })

  test("every row of every table is in it once", async () => {
    for (const { table, rows } of manifest.tables) {
      const [counted] = await source.unsafe<{ rows: number }[]>(`SELECT count(*)::integer AS rows FROM ${table}`)
      expect([table, rows]).toEqual([table, counted?.rows])
    }
    const lines = gunzipSync(readFileSync(file)).toString().split("\n")
    const ids = lines.filter((line) => line.startsWith('["') && line.includes('"m')).map((line) => JSON.parse(line)[0])
    expect(new Set(ids).size).toBe(ids.length)
  })

  test("it is readable by its owner alone, and by people, and nothing is left of its making", () => {
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split("\n")
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ tallygate_backup: 1, tallygate: "0.0.0-test" })
    const last = JSON.parse(lines.at(-1) ?? "")
    expect(last.manifest.tables).toContainEqual(expect.objectContaining({ table: "usage_records", rows: RECORDS }))
    expect(last.manifest.ledger.migrations.at(-1).name).toBe(migrations.at(-1)?.name)
    expect(readdirSync(folder).filter((name) => name.includes(".part"))).toEqual([])
  })

  test("a backup that fails on its way leaves the earlier file of that name as it was", async () => {
    const kept = path.join(folder, "kept.ndjson.gz")
    writeFileSync(kept, "earlier")
    async function* failing(): AsyncGenerator<Piece> {
      yield { kind: "ledger", head: manifest.head }
      throw new Error("the connection broke")
    }
    const made = { tallygateVersion: "0.0.0-test", nowMs: 0 }
    await expect(writeBackup(kept, made, failing())).rejects.toThrow("the connection broke")
    expect(readFileSync(kept, "utf8")).toBe("earlier")
    expect(readdirSync(folder).filter((name) => name.includes(".part"))).toEqual([])
  })

  test("it is one instant: what is committed while it is read is not in it", async () => {
    const seen = path.join(folder, "instant.ndjson.gz")
    const other = open(urlOf(source))
    const made = { tallygateVersion: "0.0.0-test", nowMs: 0 }
    const { manifest: read } = await readLedger(source, migrations, async (pieces) => {
      async function* withWrites(): AsyncGenerator<Piece> {
        for await (const piece of pieces) {
          yield piece
          if (piece.kind !== "table" || piece.table !== "organizations") continue
          await other`UPDATE organizations SET name = 'later' WHERE id = 'org_B'`
          await other`UPDATE users SET name = 'later'`
        }
      }
      return writeBackup(seen, made, withWrites())
    })
    await other`UPDATE organizations SET name = 'b' WHERE id = 'org_B'`
    await other`UPDATE users SET name = 'A'`
    expect(digests(read)).toEqual(digests(manifest))
  })
})

function urlOf(sql: Sql): string {
  const { user, pass, host, port, database } = sql.options
  return `postgres://${user}:${pass}@${host[0]}:${port[0]}/${database}`
}

describe("a file that is not what was written", () => {
  let untouched: string
  beforeAll(async () => {
    untouched = await createDatabase(inject("postgresUrl"))
  })
  const damages: [string, (whole: Buffer) => Buffer, RegExp][] = [
    ["cut in the middle", (whole) => whole.subarray(0, whole.length >> 1), /is damaged/],
    ["cut before its last byte", (whole) => whole.subarray(0, -1), /is damaged/],
    [
      "with one bit turned",
      (whole) => Buffer.from(whole.map((byte, at) => (at === whole.length >> 1 ? byte ^ 4 : byte))),
      /is damaged/,
    ],
    [
      "with a row changed by hand",
      again((lines) => lines.map((line) => line.replace('"proj_Z"', '"proj_Y"'))),
      /digests/,
    ],
    ["with a row taken out", again((lines) => lines.filter((line) => !line.startsWith('["proj_Z"'))), /digests/],
    ["without its manifest", again((lines) => lines.slice(0, -1)), /ends before its manifest/],
    [
      "that names a file elsewhere",
      again(([first = "", ...rest]) => [first, '{"journal_file":"../x"}', ...rest]),
      /none that a backup has/,
    ],
    [
      "of another format",
      again(([first = "", ...rest]) => [first.replace('backup":1', 'backup":2'), ...rest]),
      /Use Tallygate 0\.0\.0-test or newer/,
    ],
    ["that is something else", () => gzipSync("hello\n"), /no backup of Tallygate/],
    ["that is no gzip", () => Buffer.from("hello\n"), /no backup of Tallygate/],
  ]

  function again(change: (lines: string[]) => string[]): (whole: Buffer) => Buffer {
    return (whole) => gzipSync(`${change(gunzipSync(whole).toString().trimEnd().split("\n")).join("\n")}\n`)
  }

  test.each(damages)("%s is refused before the database is touched", async (_, damage, reason) => {
    const damagedFile = path.join(folder, "damaged.ndjson.gz")
    writeFileSync(damagedFile, damage(readFileSync(file)))
    const target = open(untouched)
    const env = { DATABASE_URL: untouched, TALLYGATE_DATA: path.join(folder, "data") }
    const { exitCode, stdout, stderr } = await tallygate(["restore", damagedFile, "--force"], { env, cwd: folder })
    expect([exitCode, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(reason)
    expect(
      await target`SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'`,
    ).toEqual([])
  })
})

describe("a restore", () => {
  test("brings back every table row by row, as another ledger, and says so in the audit log", async () => {
    const target = await openNew()
    const { rows, migrated } = await restoreLedger(target, manifest.head, readBackup(file), ORDINARY)
    expect([rows.get("usage_records"), migrated]).toEqual([RECORDS, []])
    const restored = await backUp(target, path.join(folder, "again.ndjson.gz"))
    expect(digests(restored)).toEqual(digests(manifest))
    expect(restored.head.months).toEqual(manifest.head.months)
    expect(restored.head.ledgerId).not.toBe(manifest.head.ledgerId)
    expect(await target`SELECT actor, action FROM audit_log ORDER BY at DESC LIMIT 1`).toEqual([
      { actor: "command line", action: "ledger.restore" },
    ])
    expect(await target`SELECT 1 FROM ledger_identity WHERE restored_at IS NOT NULL`).toHaveLength(1)
    expect(await unfinishedRestore(target)).toBeNull()
  })

  test("leaves a database that counts on: identity columns, the append-only audit log, new records", async () => {
    const target = await openNew()
    await restoreLedger(target, manifest.head, readBackup(file), ORDINARY)
    const [next] = await target<{ id: string }[]>`
      INSERT INTO usage_series (organization_id, project_id, user_id, key_id, provider_account, provider, model_served,
        endpoint, tool, operation, tier_served, outcome, stream, usage_source, price_row)
      VALUES ('org_a', '', '', '', '', '', 'new', '', '', '', '', '', false, '', '') RETURNING id::text AS id`
    expect(next?.id).toBe(String(SERIES + 1))
    await expect(target`DELETE FROM audit_log`).rejects.toThrow("append-only")
    const record = sampleRecord({ time: "2026-09-02T00:00:00.000Z" })
    expect(await ingest(target, mintId(Date.now()), [{ seq: 1, body: JSON.stringify(record) }])).toBe(1)
  })

  test("of an older version's backup makes that version's schema first, so that migrations see its rows", async () => {
    const older = await openNew()
    const only = new Set(migrations.map(({ name }) => name).filter((name) => name < "0008"))
    await migrate(older, MIGRATIONS, { codeVersion: "0.1.0", only })
    await older`INSERT INTO organizations (id, name) VALUES ('org_a', 'a')`
    await older`INSERT INTO projects (id, organization_id, name) VALUES ('proj_a', 'org_a', 'a')`
    await older`INSERT INTO users (id, organization_id, name) VALUES ('user_a', 'org_a', 'a')`
    await older`
      INSERT INTO virtual_keys (id, organization_id, project_id, user_id, name, secret_sha256, last4)
      VALUES ('key_a', 'org_a', 'proj_a', 'user_a', 'k', '\\x00', 'abcd')`
    const olderFile = path.join(folder, "older.ndjson.gz")
    const { head } = await backUp(older, olderFile)
    expect(head.ledgerId).toBeNull()
    const target = await openNew()
    const { migrated } = await restoreLedger(target, head, readBackup(olderFile), ORDINARY)
    expect(migrated).toEqual(migrations.map(({ name }) => name).filter((name) => name >= "0008"))
    // Migration 0008 reads who is a member from the keys that there are.
    expect(await target`SELECT project_id, user_id FROM project_members`).toEqual([
      { project_id: "proj_a", user_id: "user_a" },
    ])
    expect(await readLedgerId(target)).toMatch(/^[0-9a-f-]{36}$/)
  })

  test("that fails on its way leaves no row, and a database that says so; another one begins it again", async () => {
    const target = await openNew()
    async function* broken(): AsyncGenerator<Piece> {
      for await (const piece of readBackup(file)) {
        if (piece.kind === "table" && piece.table === "usage_rollups") throw new Error("the file went away")
        yield piece
      }
    }
    const first = { ...ORDINARY, source: "the first", earlier: "/saved" }
    await expect(restoreLedger(target, manifest.head, broken(), first)).rejects.toThrow("went away")
    expect(await target`SELECT 1 FROM usage_records UNION ALL SELECT 1 FROM organizations`).toEqual([])
    expect(await unfinishedRestore(target)).toMatchObject({ source: "the first", earlier: "/saved" })
    await expect(backUp(target, path.join(folder, "half.ndjson.gz"))).rejects.toThrow(/half restored.*\/saved/)
    expect(await readStanding(target, migrations)).toEqual({ kind: "unfinished", earlier: "/saved" })
    await restoreLedger(target, manifest.head, readBackup(file), ORDINARY)
    expect(digests(await backUp(target, path.join(folder, "whole.ndjson.gz")))).toEqual(digests(manifest))
  })

  test("of what a newer version made is refused by name, and nothing is touched", async () => {
    const ahead = path.join(folder, "ahead")
    mkdirSync(ahead, { recursive: true })
    for (const { name, text } of migrations) writeFileSync(path.join(ahead, `${name}.sql`), text)
    writeFileSync(path.join(ahead, "9000_later.sql"), "-- For later.\nCREATE TABLE later (id int PRIMARY KEY);")
    const newer = await openNew()
    await migrate(newer, ahead, { codeVersion: "9.0.0" })
    await expect(backUp(newer, path.join(folder, "newer.ndjson.gz"))).rejects.toThrow(
      /9000_later.*Use Tallygate 9\.0\.0/,
    )
    const newerFile = path.join(folder, "newer.ndjson.gz")
    const known = await readMigrations(ahead)
    const made = { tallygateVersion: "9.0.0", nowMs: 0 }
    await readLedger(newer, known, (pieces) => writeBackup(newerFile, made, pieces))
    const target = await openNew()
    const env = { DATABASE_URL: urlOf(target), TALLYGATE_DATA: path.join(folder, "data") }
    const { exitCode, stderr } = await tallygate(["restore", newerFile], { env, cwd: folder })
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/made by Tallygate 9\.0\.0.*9000_later/)
    expect(await readStanding(target, migrations)).toEqual({ kind: "empty" })
  })

  test("finds an installation that was only migrated empty, and one with a single organization not", async () => {
    const target = await openNew()
    expect(await readStanding(target, migrations)).toEqual({ kind: "empty" })
    await migrate(target, MIGRATIONS, { codeVersion: "0.0.0-test" })
    expect(await readStanding(target, migrations)).toEqual({ kind: "empty" })
    await target`INSERT INTO organizations (id, name) VALUES ('org_a', 'a')`
    expect(await readStanding(target, migrations)).toEqual({ kind: "full", tables: ["organizations"] })
  })

  test("drops every table, view and function of Tallygate, and nothing that is somebody else's", async () => {
    const target = await openNew()
    await migrate(target, MIGRATIONS, { codeVersion: "0.0.0-test" })
    await ensurePartitions(target, Date.UTC(2026, 0), Date.UTC(2026, 1))
    await target`CREATE TABLE somebody_elses (id int)`
    await makeRoom(target, migrations, { source: "", earlier: "" })
    const left = await target<{ name: string }[]>`
      SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
      UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY name`
    expect(left.map(({ name }) => name)).toEqual(["restore_unfinished", "somebody_elses"])
    await migrate(target, MIGRATIONS, { codeVersion: "0.0.0-test" })
    await target`CREATE VIEW mine AS SELECT id FROM organizations`
    await expect(makeRoom(target, migrations, { source: "", earlier: "" })).rejects.toThrow(BackupError)
    expect(await target`SELECT 1 FROM mine`).toEqual([])
  })

  test("takes nothing at all where a single row cannot be taken", async () => {
    const target = await openNew()
    async function* doubled(): AsyncGenerator<Piece> {
      for await (const piece of readBackup(file)) {
        yield piece
        if (piece.kind === "rows") yield piece
      }
    }
    await expect(restoreLedger(target, manifest.head, doubled(), ORDINARY)).rejects.toThrow(/duplicate key/)
    expect(await target`SELECT 1 FROM organizations`).toEqual([])
  })
})

describe("the journal's files", () => {
  const segment = (name: string) => `01a20d71-8b6e-76ac-a6ea-47c0a5e6cb7${name}.0000000000000001.journal`

  async function* ofFolder(from: string): AsyncGenerator<Piece> {
    yield* journalPieces(from)
    yield { kind: "ledger", head: manifest.head }
  }

  test("go beside those that are there; of two with one name the longer is kept; quarantines are put together", async () => {
    const [from, to] = [path.join(folder, "journal-from"), path.join(folder, "journal-to")]
    for (const directory of [from, to]) mkdirSync(directory)
    writeFileSync(path.join(from, segment("a")), "longer here")
    writeFileSync(path.join(to, segment("a")), "shorter")
    writeFileSync(path.join(from, segment("b")), "shorter")
    writeFileSync(path.join(to, segment("b")), "longer there")
    writeFileSync(path.join(from, segment("c")), Buffer.alloc(3 * 1024 * 1024, 1))
    writeFileSync(path.join(from, "01a20d71-8b6e-76ac-a6ea-47c0a5e6cb7f.lock"), "")
    const reason = { sqlState: "22000", message: "no" }
    new Quarantine(from).add("j1", { seq: 1, body: "{}" }, reason)
    new Quarantine(from).add("j1", { seq: 2, body: "{}" }, reason)
    new Quarantine(to).add("j1", { seq: 2, body: "{}" }, reason)
    new Quarantine(to).add("j2", { seq: 1, body: "{}" }, reason)
    const packed = path.join(folder, "journal.ndjson.gz")
    const made = { tallygateVersion: "0.0.0-test", nowMs: 0 }
    const written = await writeBackup(packed, made, ofFolder(from))
    expect(await checkBackup(packed)).toEqual(written.manifest)
    expect(written.manifest.journalFiles.map(({ name }) => name)).toEqual([
      ...["a", "b", "c"].map(segment),
      QUARANTINE_FILE,
    ])
    const staging = path.join(folder, "staging")
    await stageJournals(readBackup(packed), staging)
    expect(placeJournals(staging, to)).toBe(1)
    expect(readFileSync(path.join(to, segment("a")), "utf8")).toBe("longer here")
    expect(readFileSync(path.join(to, segment("b")), "utf8")).toBe("longer there")
    expect(readFileSync(path.join(to, segment("c"))).equals(Buffer.alloc(3 * 1024 * 1024, 1))).toBe(true)
    expect(statSync(path.join(to, segment("c"))).mode & 0o777).toBe(0o600)
    expect(new Quarantine(to).count()).toBe(3)
    expect(readdirSync(to).filter((name) => !isJournalFile(name))).toEqual([])
  })
})
