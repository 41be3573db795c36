import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { afterEach, beforeEach, expect, test } from "vitest"
import { journalPaths, openJournalFile } from "../../src/ledger/journal-file.ts"
import { JournalWriter } from "../../src/ledger/journal-writer.ts"

let directory: string
let database: DatabaseSync
let writer: JournalWriter

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "tallygate-writer-"))
  database = openJournalFile(journalPaths(directory, "019a0000-0000-7000-8000-000000000001"), "process")
  writer = new JournalWriter(database)
})
afterEach(() => {
  database.close()
  rmSync(directory, { recursive: true })
})

/** Rows of the file as `s:id` and `e:id`, in order. */
function written(): string[] {
  const rows = database.prepare("SELECT kind, id FROM journal ORDER BY seq").all()
  return rows.map((row) => `${row.kind === 0 ? "s" : "e"}:${row.id}`)
}

function fillDisk(): void {
  const pages = Number(database.prepare("PRAGMA page_count").get()?.page_count)
  database.exec(`PRAGMA max_page_count = ${pages}`)
}

function freeDisk(): void {
  database.exec("PRAGMA max_page_count = 100000")
}

const LARGE = "x".repeat(20_000)

test("on a full disk a start is refused, an end is kept and written when there is room again", () => {
  writer.commit([["s", "a", "{}", "s", "b", "{}"]])
  fillDisk()
  expect(writer.commit([["e", "a", LARGE, "s", "c", LARGE, "d", "b", ""]])).toMatchObject({ kind: "failed" })
  expect([written(), writer.keptActs]).toEqual([["s:a", "s:b"], 2])
  expect(writer.retry()).toMatchObject({ kind: "failed" })
  freeDisk()
  expect(writer.retry()).toEqual({ kind: "committed", starts: 0, dropped: 1 })
  expect([written(), writer.keptActs]).toEqual([["s:a", "e:a"], 0])
  expect(writer.purge(writer.lastEndSeq)).toEqual({ kind: "purged", rows: 2, ends: 1 })
  expect(writer.isEmpty()).toBe(true)
})

test("a commit that works takes along what was kept, in the order in which it came", () => {
  writer.commit([["s", "a", "{}", "s", "b", "{}"]])
  fillDisk()
  writer.commit([["e", "b", LARGE]])
  freeDisk()
  writer.commit([["e", "a", "{}"]])
  expect(written()).toEqual(["s:a", "s:b", "e:b", "e:a"])
})

test("purging keeps the starts of calls that are still open, and takes them with their end later", () => {
  writer.commit([["s", "long", "{}", "s", "short", "{}"], ["e", "short", "{}"]]) // biome-ignore format: one line
  expect(writer.purge(3)).toEqual({ kind: "purged", rows: 2, ends: 1 })
  expect(written()).toEqual(["s:long"])
  writer.commit([["e", "long", "{}"]])
  expect(writer.purge(3)).toEqual({ kind: "purged", rows: 1, ends: 0 })
  expect(written()).toEqual(["e:long"])
  expect(writer.purge(4)).toEqual({ kind: "purged", rows: 1, ends: 1 })
  expect(writer.isEmpty()).toBe(true)
})

test("a start that is dropped in the commit that wrote it leaves nothing", () => {
  expect(writer.commit([["s", "a", "{}"], ["d", "a", ""]])).toEqual({ kind: "committed", starts: 1, dropped: 1 }) // biome-ignore format: one line
  expect(writer.isEmpty()).toBe(true)
})

test("dropping a call that ended, or that never began, changes nothing", () => {
  writer.commit([["s", "a", "{}", "e", "a", "{}"]])
  expect(writer.commit([["d", "a", "", "d", "unknown", ""]])).toEqual({ kind: "committed", starts: 0, dropped: 0 })
  expect(written()).toEqual(["s:a", "e:a"])
})

test("sequences go on rising after everything was purged", () => {
  writer.commit([["s", "a", "{}", "e", "a", "{}"]])
  writer.purge(2)
  writer.commit([["s", "b", "{}", "e", "b", "{}"]])
  expect(writer.lastEndSeq).toBe(4)
})
