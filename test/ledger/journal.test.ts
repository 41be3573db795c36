import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { appendFileSync, readFileSync, writeFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { pino } from "pino"
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest"
import type { Adopted } from "../../src/admission/adopted-calls.ts"
import { type Journal, type JournalOptions, JournalUnavailable, openJournal } from "../../src/ledger/journal.ts"
import { BatchPacker, END_ROW, type RowKind, START_ROW } from "../../src/ledger/journal-batch.ts"
import { listSegments, lockJournal, segmentPath } from "../../src/ledger/journal-file.ts"
import { liveProxies } from "../../src/ledger/proxy-instances.ts"
import { QUARANTINE_FILE } from "../../src/ledger/quarantine.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type CuttableLink, openCuttableLink } from "./cuttable-link.ts"
import { ledgerTotals, openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const FLUSH_MS_MAX = 20_000

let directory: string
let databaseUrl: string
let sql: Sql
let logged: { level: number; msg: string }[]
const closing: (() => Promise<unknown> | unknown)[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "tallygate-journal-"))
  databaseUrl = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(databaseUrl)
  logged = []
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await sql.end()
  await rm(directory, { recursive: true, force: true })
})

async function open(options: Partial<JournalOptions> = {}): Promise<Journal> {
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(JSON.parse(line)) })
  const journal = await openJournal({
    directory,
    databaseUrl,
    log,
    sync: "process",
    rowsMax: 10_000,
    lingerMs: 5,
    adoptMsMax: FLUSH_MS_MAX,
    ...options,
  })
  closing.push(() => journal.close())
  return journal
}

async function link(): Promise<CuttableLink> {
  const opened = await openCuttableLink(databaseUrl)
  closing.push(() => opened.close())
  return opened
}

async function begin(journal: Journal, record: UsageRecord): Promise<void> {
  await journal.start(record.id, JSON.stringify({ ...record, end_state: "interrupted", usage_source: "estimated" }))
}

async function call(journal: Journal, changes: Partial<UsageRecord> = {}): Promise<UsageRecord> {
  const record = sampleRecord(changes)
  await begin(journal, record)
  journal.end(record.id, JSON.stringify(record))
  return record
}

async function states(): Promise<Map<string, string>> {
  const rows = await sql<{ id: string; end_state: string }[]>`SELECT id, end_state FROM usage_records`
  return new Map(rows.map((row) => [row.id, row.end_state]))
}

type Row = { readonly kind: RowKind; readonly id: string; readonly body: string }

/** Bytes of one batch. */
function batchOf(rows: readonly Row[], firstSeq = 1): Buffer {
  const packer = new BatchPacker()
  for (const { kind, id, body } of rows) packer.add(kind, id, body)
  return packer.take(firstSeq)
}

/** A journal as a killed process leaves it. */
function leaveJournal(rows: readonly Row[]): string {
  const id = uuidv7Mint()(Date.now())
  writeFileSync(segmentPath(directory, id, 1), batchOf(rows))
  return id
}

const interrupted = (record: UsageRecord) => JSON.stringify({ ...record, end_state: "interrupted" })
const startOf = (record: UsageRecord): Row => ({ kind: START_ROW, id: record.id, body: interrupted(record) })
const endOf = (record: UsageRecord): Row => ({ kind: END_ROW, id: record.id, body: JSON.stringify(record) })

test("a full journal refuses starts, takes the ends of calls under way, and drops nothing", async () => {
  const cut = await link()
  cut.cut()
  const journal = await open({ databaseUrl: cut.url, rowsMax: 4 })
  const records = Array.from({ length: 4 }, () => sampleRecord())
  await Promise.all(records.map((record) => begin(journal, record)))
  expect(journal.isFull()).toBe(true)
  await expect(journal.start("a", "{}")).rejects.toThrow("the journal is full")
  for (const record of records) journal.end(record.id, JSON.stringify(record))
  expect(journal.backlogRows()).toBe(4)
  cut.mend()
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  await vi.waitFor(() => expect(journal.isFull()).toBe(false))
  expect(await ledgerTotals(sql)).toMatchObject({ records: 4, rolled: 4, endStates: { complete: 4 } })
  await call(journal)
})

test("while Postgres is away calls are journaled; they are shipped once when it is back, and the log speaks twice", async () => {
  const cut = await link()
  const journal = await open({ databaseUrl: cut.url })
  await call(journal)
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  cut.cut()
  for (let index = 0; index < 20; index++) await call(journal)
  await vi.waitFor(() => expect(journal.stats().lastError).not.toBeNull())
  expect(await journal.flush(50)).toBe(false)
  expect(journal.stats()).toMatchObject({ backlogRows: 20, rows: 20, shippedTotal: 1 })
  cut.mend()
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(await ledgerTotals(sql)).toMatchObject({ records: 21, rolled: 21, timed: 21, settled: String(21 * 855_001) })
  expect(journal.stats()).toMatchObject({ backlogRows: 0, rows: 0, shippedTotal: 21, lastError: null, oldestAgeS: 0 })
  expect(logged.map((line) => line.msg)).toEqual(["ledger is away; records wait in the journal", "ledger is back"])
})

test("a batch whose commit was done but whose answer was lost is counted once", async () => {
  const cut = await link()
  const journal = await open({ databaseUrl: cut.url, lingerMs: 30 })
  // The first batches are let through, so that what is lost is one plain answer.
  await call(journal)
  await journal.flush(FLUSH_MS_MAX)
  const lost = cut.loseAnswerTo("the-lost-one")
  await Promise.all(Array.from({ length: 10 }, () => call(journal, { tool: "the-lost-one" })))
  await lost
  expect((await ledgerTotals(sql)).records).toBe(11)
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(cut.connections()).toBeGreaterThan(1)
  expect(await ledgerTotals(sql)).toMatchObject({ records: 11, rolled: 11, timed: 11, settled: String(11 * 855_001) })
})

test("a Postgres that takes the statement and never answers is given up and asked again", async () => {
  await using blocker = await sql.reserve().then((reserved) => ({
    sql: reserved,
    [Symbol.asyncDispose]: async () => reserved.release(),
  }))
  await blocker.sql`BEGIN`
  await blocker.sql`LOCK TABLE usage_rollups IN ACCESS EXCLUSIVE MODE`
  const journal = await open({ statementMsMax: 200 })
  await call(journal)
  await vi.waitFor(() => expect(journal.stats().lastError).toContain("did not answer within 200 ms"))
  await blocker.sql`COMMIT`
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(await ledgerTotals(sql)).toMatchObject({ records: 1, rolled: 1 })
})

test("a record that Postgres refuses goes to quarantine alone, the rest of its batch to the ledger", async () => {
  const journal = await open({ lingerMs: 50 })
  const good = Array.from({ length: 9 }, () => sampleRecord())
  const poison = [sampleRecord({ tool: "a\u0000b" }), sampleRecord({ end_customer: "" })]
  const bodies = [...good, ...poison].map((record) => ({ id: record.id, body: JSON.stringify(record) }))
  bodies.push({ id: "half-written", body: '{"id":"019a0000-0000-7000-8000-0000000000aa","ti' })
  bodies.push({ id: "empty", body: "" })
  bodies.sort((a, b) => (a.body.length % 7) - (b.body.length % 7))
  await Promise.all(bodies.map(({ id }) => journal.start(id, "{}")))
  for (const { id, body } of bodies) journal.end(id, body)
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(await ledgerTotals(sql)).toMatchObject({ records: 10, rolled: 10, settled: String(10 * 855_001) })
  await vi.waitFor(() =>
    expect(journal.stats()).toMatchObject({ quarantined: 3, backlogRows: 0, rows: 0, lastError: null }),
  )
  using quarantine = new DatabaseSync(path.join(directory, QUARANTINE_FILE))
  const kept = quarantine.prepare("SELECT body, sql_state FROM quarantine ORDER BY length(body)").all()
  expect(kept.map((row) => row.sql_state)).toEqual(["22P02", "22P02", "22P05"])
  expect(kept.at(-1)?.body).toBe(JSON.stringify(poison[0]))
})

test("quarantined records are still counted after a restart", async () => {
  const journal = await open()
  await call(journal, { tool: "\u0000" })
  await journal.flush(FLUSH_MS_MAX)
  await journal.close()
  const next = await open()
  await vi.waitFor(() => expect(next.stats().quarantined).toBe(1))
})

test("a record of any month finds its partition, made on demand; one of no sensible year goes to quarantine", async () => {
  const journal = await open({ lingerMs: 30 })
  const times = [
    "2024-02-29T23:59:59.999Z",
    "2024-03-01T00:00:00.000Z",
    "2026-11-23T10:00:00.000Z",
    "2099-12-31T00:00:00.000Z",
  ]
  await Promise.all([...times, "1970-01-01T00:00:00.000Z"].map((time) => call(journal, { time })))
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  const partitions = await sql<{ name: string; records: number }[]>`
    SELECT tableoid::regclass::text AS name, count(*)::int AS records FROM usage_records GROUP BY 1 ORDER BY 1`
  expect([...partitions]).toEqual([
    { name: "usage_records_2024_02", records: 1 },
    { name: "usage_records_2024_03", records: 1 },
    { name: "usage_records_2026_11", records: 1 },
    { name: "usage_records_2099_12", records: 1 },
  ])
  await vi.waitFor(() => expect(journal.stats().quarantined).toBe(1))
})

test("a dropped start is never shipped, not even after a crash", async () => {
  const journal = await open()
  const [dropped, open_] = [sampleRecord(), sampleRecord()]
  await Promise.all([begin(journal, dropped), begin(journal, open_)])
  journal.drop(dropped.id)
  await journal.close()
  const next = await open()
  expect(await states()).toEqual(new Map([[open_.id, "interrupted"]]))
  expect(next.stats().rows).toBe(0)
})

test("what a dead process left is in the ledger when the next one has opened: ends as they are, open calls interrupted", async () => {
  const [ended, cut] = [sampleRecord(), sampleRecord()]
  const id = leaveJournal([startOf(ended), startOf(cut), endOf(ended)])
  await open()
  expect(await states()).toEqual(new Map([[ended.id, "complete"], [cut.id, "interrupted"]])) // biome-ignore format: one line
  const [ack] = await sql`SELECT last_seq FROM journal_ack WHERE journal_id = ${id}`
  expect(ack).toEqual({ last_seq: "3" })
  await vi.waitFor(async () => expect((await readdir(directory)).filter((name) => name.startsWith(id))).toEqual([]))
})

test("a journal that was shipped but not deleted before the crash adds nothing when it is adopted", async () => {
  const record = sampleRecord()
  const rows = [startOf(record), endOf(record)]
  leaveJournal(rows)
  const first = await open()
  await first.close()
  leaveJournal(rows)
  await open()
  expect(await ledgerTotals(sql)).toMatchObject({
    records: 1,
    rolled: 1,
    settled: "855001",
    endStates: { complete: 1 },
  })
})

test("a journal in use is not adopted; two processes share the directory", async () => {
  const [one, two] = [await open(), await open()]
  const record = sampleRecord()
  await begin(one, record)
  await open()
  expect(await states()).toEqual(new Map())
  one.end(record.id, JSON.stringify(record))
  await call(two)
  expect([await one.flush(FLUSH_MS_MAX), await two.flush(FLUSH_MS_MAX)]).toEqual([true, true])
  expect((await ledgerTotals(sql)).endStates).toEqual({ complete: 2 })
})

test.each([
  ["before long", 50],
  ["at once where it is told of the death", 3_600_000],
])("a journal whose process dies later is adopted %s by one that goes on", async (_, adoptEveryMs) => {
  const journal = await open({ adoptEveryMs })
  const record = sampleRecord()
  const id = uuidv7Mint()(Date.now())
  const lock = lockJournal(directory, id)
  writeFileSync(segmentPath(directory, id, 1), batchOf([endOf(record)]))
  await call(journal)
  await journal.flush(FLUSH_MS_MAX)
  expect((await states()).has(record.id)).toBe(false)
  lock?.release()
  if (adoptEveryMs > 1_000) journal.shipper.adopt()
  await vi.waitFor(async () => expect((await states()).has(record.id)).toBe(true), { timeout: 5_000 })
})

test("damage in a journal costs the batches it touches: the others are shipped, the files set aside and it is said", async () => {
  const [first, lost, last] = [sampleRecord(), sampleRecord(), sampleRecord()]
  const damaged = batchOf([endOf(lost)], 2)
  damaged[damaged.length >> 1] = 0
  const id = leaveJournal([endOf(first)])
  appendFileSync(segmentPath(directory, id, 1), damaged)
  appendFileSync(segmentPath(directory, id, 1), batchOf([endOf(last)], 3))
  await open()
  expect(await states()).toEqual(new Map([[first.id, "complete"], [last.id, "complete"]])) // biome-ignore format: one line
  expect(await readdir(directory)).toContain(`${id}.0000000000000001.journal.damaged`)
  expect(logged).toContainEqual(expect.objectContaining({ msg: "a damaged journal was set aside", journal: id }))
})

test("a journal whose last batch was torn by the kill ends before it, and that is no damage", async () => {
  const [whole, torn] = [sampleRecord(), sampleRecord()]
  const id = leaveJournal([startOf(torn), startOf(whole), endOf(whole)])
  appendFileSync(segmentPath(directory, id, 1), batchOf([endOf(torn)], 4).subarray(0, -20))
  await open()
  expect(await states()).toEqual(new Map([[whole.id, "complete"], [torn.id, "interrupted"]])) // biome-ignore format: one line
  expect(logged.map((line) => line.msg)).toEqual(["records of an earlier process shipped"])
  await vi.waitFor(async () => expect((await readdir(directory)).filter((name) => name.startsWith(id))).toEqual([]))
})

test("rows that the ledger has acknowledged are not sent again when their journal is adopted", async () => {
  const [shipped, owed, cut] = [sampleRecord(), sampleRecord(), sampleRecord()]
  const id = leaveJournal([startOf(cut), endOf(shipped), endOf(owed)])
  await sql`INSERT INTO journal_ack (journal_id, last_seq) VALUES (${id}, 2)`
  await open()
  expect([...(await states()).keys()].sort()).toEqual([owed.id, cut.id].sort())
})

test("with Postgres away the process opens all the same, and ships what was left when it is back", async () => {
  const record = sampleRecord()
  leaveJournal([endOf(record)])
  const cut = await link()
  cut.cut()
  const journal = await open({ databaseUrl: cut.url, adoptMsMax: 50 })
  await begin(journal, sampleRecord())
  cut.mend()
  await vi.waitFor(async () => expect((await states()).get(record.id)).toBe("complete"), { timeout: FLUSH_MS_MAX })
})

test("closing with everything shipped leaves no file; with Postgres away it ends soon and keeps the rows", async () => {
  const journal = await open()
  await call(journal)
  await journal.flush(FLUSH_MS_MAX)
  await journal.close()
  expect(await readdir(directory)).toEqual([])
  const cut = await link()
  cut.cut()
  const away = await open({ databaseUrl: cut.url })
  const record = await call(away)
  await away.close()
  await expect(away.start("a", "{}")).rejects.toThrow("closing")
  await open()
  expect((await states()).get(record.id)).toBe("complete")
})

test.each(["process", "power"] as const)("an end that was added just before closing is kept, sync %s", async (sync) => {
  const journal = await open({ sync })
  const record = sampleRecord()
  await begin(journal, record)
  journal.end(record.id, JSON.stringify(record))
  await journal.close()
  await open()
  expect(await states()).toEqual(new Map([[record.id, "complete"]]))
})

test("more rows than one batch holds are shipped in order, each once", async () => {
  const journal = await open({ rowsPerBatchMax: 7 })
  const records = await Promise.all(Array.from({ length: 200 }, () => call(journal)))
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(await ledgerTotals(sql)).toMatchObject({
    records: records.length,
    rolled: records.length,
    timed: records.length,
  })
  const [ack] = await sql`SELECT last_seq = (SELECT max(journal_seq) FROM usage_records) AS "isNewest" FROM journal_ack`
  expect(ack).toEqual({ isNewest: true })
})

/** Makes the disk refuse what the journal writes, until the returned function is called. */
async function breakDisk(): Promise<() => void> {
  const fs = await import("node:fs")
  const refuse = () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
  }
  const spy = vi.spyOn(fs.default, "writeSync").mockImplementation(refuse)
  syncBuiltinESMExports()
  return () => {
    spy.mockRestore()
    syncBuiltinESMExports()
  }
}

test("on a full disk starts are refused with the cause, ends wait and are written when there is room again", async () => {
  const journal = await open()
  const [first, second] = [sampleRecord(), sampleRecord()]
  await Promise.all([begin(journal, first), begin(journal, second)])
  const mend = await breakDisk()
  try {
    journal.end(first.id, JSON.stringify(first))
    await expect(journal.start("a", "{}")).rejects.toThrow(/could not be written: ENOSPC/)
    expect(journal.isFull()).toBe(true)
    await expect(journal.start("b", "{}")).rejects.toThrow(JournalUnavailable)
    journal.end(second.id, JSON.stringify(second))
    expect(await journal.flush(300)).toBe(false)
    expect(await states()).toEqual(new Map())
  } finally {
    mend()
  }
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  await vi.waitFor(() => expect(journal.isFull()).toBe(false))
  expect(await states()).toEqual(new Map([[first.id, "complete"], [second.id, "complete"]])) // biome-ignore format: one line
  expect(logged.map((line) => line.msg)).toEqual(["journal cannot be written", "journal can be written again"])
  await call(journal)
})

test("an end is still owed when the process dies while its disk refuses it: the start stands for the call", async () => {
  const journal = await open()
  const record = sampleRecord()
  await begin(journal, record)
  const mend = await breakDisk()
  try {
    journal.end(record.id, JSON.stringify(record))
    await journal.close()
  } finally {
    mend()
  }
  await open()
  expect(await states()).toEqual(new Map([[record.id, "interrupted"]]))
})

test("segments go when they are shipped, but not the start of a call that is open: a long call's is copied forward", async () => {
  const journal = await open({ segmentBytesMax: 4_000, keepShippedMs: 0 })
  const long = sampleRecord()
  await begin(journal, long)
  const firstSegment = listSegments(directory, journal.id)[0]?.path ?? ""
  for (let index = 0; index < 40; index++) {
    await call(journal)
    await journal.flush(FLUSH_MS_MAX)
  }
  expect(listSegments(directory, journal.id).length).toBeLessThan(15)
  const texts = listSegments(directory, journal.id).map(({ path: file }) => readFileSync(file, "utf8"))
  expect(texts.join("")).toContain(`s${long.id} `)
  expect(listSegments(directory, journal.id).map(({ path: file }) => file)).not.toContain(firstSegment)
  await journal.close()
  await open()
  expect((await states()).get(long.id)).toBe("interrupted")
  expect(await ledgerTotals(sql)).toMatchObject({ records: 41, rolled: 41 })
})

test("calls that ended after a row can be listed by organization, shipped or not; where rows are gone it says so", async () => {
  const journal = await open({ segmentBytesMax: 4_000, keepShippedMs: 60_000 })
  const [first, other] = [await call(journal), await call(journal, { organization_id: "org_other" })]
  await journal.flush(FLUSH_MS_MAX)
  const [ack] = await sql<{ last_seq: number }[]>`SELECT last_seq::int FROM journal_ack`
  const later = await call(journal)
  const idsAfter = async (organizationId: string, seq: number) => {
    const answer = await journal.endedAfter(organizationId, seq)
    return answer.kind === "rows" ? answer.rows.map(({ id }) => id) : answer.kind
  }
  expect(await idsAfter(first.organization_id, 0)).toEqual([first.id, later.id])
  expect(await idsAfter("org_other", 0)).toEqual([other.id])
  expect(await idsAfter(first.organization_id, ack?.last_seq ?? 0)).toEqual([later.id])
  const answer = await journal.endedAfter(first.organization_id, 0)
  expect(answer).toMatchObject({ rows: [{ charges: first.charges }, { charges: later.charges }] })

  const brief = await open({ segmentBytesMax: 4_000, keepShippedMs: 0 })
  for (let index = 0; index < 20; index++) {
    await call(brief)
    await brief.flush(FLUSH_MS_MAX)
  }
  expect(await brief.endedAfter(first.organization_id, 0)).toEqual({ kind: "gap" })
})

test("who counts adopted calls hears what each that had ended charges", async () => {
  const ended = sampleRecord()
  leaveJournal([startOf(ended), endOf(ended)])
  const heard: Adopted[] = []
  await open({ onAdopted: async (adopted) => void heard.push(adopted) })
  const { id, organization_id: organizationId, charges } = ended
  const writtenAtMs = expect.closeTo(Date.now(), -5)
  expect(heard).toEqual([{ kind: "ended", calls: [{ id, organizationId, charges }], writtenAtMs }])
})

test("who counts adopted calls hears of those that the dead process had shipped a moment before, not of older ones", async () => {
  const nowMs = Date.now()
  const [old, shipped, owed] = [nowMs - 3_600_000, nowMs, nowMs].map((ms) => ({
    ...sampleRecord(),
    id: uuidv7Mint()(ms),
  }))
  if (old === undefined || shipped === undefined || owed === undefined) throw new Error("no records")
  const id = leaveJournal([endOf(old), endOf(shipped), endOf(owed)])
  await sql`INSERT INTO journal_ack (journal_id, last_seq) VALUES (${id}, 2)`
  const heard: Adopted[] = []
  await open({ onAdopted: async (adopted) => void heard.push(adopted) })
  expect(heard.flatMap((adopted) => (adopted.kind === "ended" ? adopted.calls.map((call) => call.id) : []))).toEqual([
    shipped.id,
    owed.id,
  ])
})

test("of a process that died with calls under way, who counts them hears the organizations, again until all is counted", async () => {
  const [ended, cut, other] = [sampleRecord(), sampleRecord(), sampleRecord({ organization_id: "org_2" })]
  const id = leaveJournal([startOf(cut), startOf(ended), endOf(ended), endOf(other)])
  const heard: Adopted[] = []
  const first = await open({
    onAdopted: (adopted) => {
      heard.push(adopted)
      return new Promise(() => undefined)
    },
  })
  expect(await states()).toEqual(new Map([[ended.id, "complete"], [cut.id, "interrupted"], [other.id, "complete"]])) // biome-ignore format: one line
  expect(heard).toEqual([{ kind: "cut", organizationIds: [cut.organization_id, "org_2"] }])
  await first.close()
  await open({ onAdopted: async (adopted) => void heard.push(adopted) })
  expect(heard.at(-1)).toEqual({ kind: "cut", organizationIds: [cut.organization_id] })
  const left = async () => (await readdir(directory)).filter((name) => name.startsWith(id))
  await vi.waitFor(async () => expect(await left()).toEqual([]))
  expect(await ledgerTotals(sql)).toMatchObject({ records: 3, rolled: 3 })
})

test("a proxy whose journal is adopted is waited for by nobody", async () => {
  const id = leaveJournal([endOf(sampleRecord())])
  await sql`INSERT INTO proxy_instances (id, journal_id) VALUES ('dead', ${id}), ('live', ${uuidv7Mint()(Date.now())})`
  await open()
  await vi.waitFor(async () => expect(await liveProxies(sql)).toEqual(["live"]), { timeout: FLUSH_MS_MAX })
})

test("a proxy whose journal was adopted is waited for until its calls are counted", async () => {
  const id = leaveJournal([endOf(sampleRecord())])
  await sql`INSERT INTO proxy_instances (id, journal_id) VALUES ('dead', ${id})`
  const { promise: isCounted, resolve: count } = Promise.withResolvers<void>()
  await open({ onAdopted: () => isCounted })
  expect(await liveProxies(sql)).toEqual(["dead"])
  count()
  await vi.waitFor(async () => expect(await liveProxies(sql)).toEqual([]), { timeout: FLUSH_MS_MAX })
})

test("a shipper that dies is replaced, and ships on from where the journal stands", async () => {
  // A directory where the quarantine's file belongs: setting a record aside throws.
  await mkdir(path.join(directory, QUARANTINE_FILE))
  const journal = await open({ adoptMsMax: 100 })
  await call(journal, { tool: "\u0000" })
  await vi.waitFor(() => expect(journal.stats().lastError).toContain("the shipper died"), { timeout: 5_000 })
  const record = await call(journal)
  await rm(path.join(directory, QUARANTINE_FILE), { recursive: true })
  expect(await journal.flush(FLUSH_MS_MAX)).toBe(true)
  expect(await states()).toEqual(new Map([[record.id, "complete"]]))
  expect(journal.stats()).toMatchObject({ quarantined: 1, backlogRows: 0, lastError: null })
})

async function lineCount(child: ChildProcess, output: string[], count: number): Promise<void> {
  while (output.join("").split("\n").length < count) {
    if (child.exitCode !== null) throw new Error(`the child ended: ${child.exitCode}`)
    await once(child.stdout as NodeJS.ReadableStream, "data")
  }
}

test.each([
  ["while Postgres is away", true],
  ["while it ships", false],
])("after kill -9 %s every acknowledged end is itself and every open start is interrupted", async (_, isAway) => {
  const cut = await link()
  if (isAway) cut.cut()
  const program = path.join(import.meta.dirname, "journaling-child.ts")
  const child = spawn(process.execPath, [program, directory, cut.url], { stdio: ["ignore", "pipe", "inherit"] })
  const exited = once(child, "exit")
  const output: string[] = []
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text))
  await lineCount(child, output, 600)
  child.kill("SIGKILL")
  await exited
  const promises = output.join("").split("\n").slice(0, -1)
  const idsOf = (act: string) =>
    promises.filter((line) => line.startsWith(`${act} `)).map((line) => line.slice(act.length + 1))
  const [started, ended, dropped] = [idsOf("start"), idsOf("end"), idsOf("drop")]
  expect(ended.length).toBeGreaterThan(100)
  expect(dropped.length).toBeGreaterThan(20)

  await open()
  const found = await states()
  expect(ended.filter((id) => found.get(id) !== "complete")).toEqual([])
  expect(dropped.filter((id) => found.has(id))).toEqual([])
  const gone = new Set(dropped)
  expect(started.filter((id) => !gone.has(id) && !found.has(id))).toEqual([])
  expect([...found.values()].filter((state) => state === "interrupted").length).toBeGreaterThan(0)
  const totals = await ledgerTotals(sql)
  expect(totals).toMatchObject({
    rolled: totals.records,
    timed: totals.records,
    settled: String(totals.records * 855_001),
  })
})
