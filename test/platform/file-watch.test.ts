/** Looks are taken by hand: nothing here waits for a timer. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { FileWatch } from "../../src/platform/file-watch.ts"

let folder: string
let file: string
let changes: number
let watch: FileWatch

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-watch-"))
  file = path.join(folder, "file.yaml")
  writeFileSync(file, "first")
  await watching([file])
})
afterEach(async () => {
  await watch.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function watching(files: readonly string[]): Promise<void> {
  changes = 0
  await watch?.stop()
  // A timer that does not come within the test.
  watch = new FileWatch({ files: () => files, onChange: () => changes++, everyMs: 3_600_000 })
  await watch.start()
}

/** The changes told of by as many looks. */
async function look(times: number): Promise<number> {
  const before = changes
  for (let i = 0; i < times; i++) await watch.look()
  return changes - before
}

test("a file that stays as it is, or is only touched, is no change", async () => {
  expect(await look(3)).toBe(0)
  utimesSync(file, new Date(), new Date(0))
  writeFileSync(file, "first")
  expect(await look(3)).toBe(0)
})

test("a change is told once, when two looks have seen the same", async () => {
  writeFileSync(file, "second")
  expect([await look(1), await look(1), await look(3)]).toEqual([0, 1, 0])
})

test("a file that is still being written is not told of", async () => {
  for (const text of ["", "sec", "second"]) {
    writeFileSync(file, text)
    expect(await look(1)).toBe(0)
  }
  expect(await look(1)).toBe(1)
})

test("an editor that writes a new file and renames it is seen", async () => {
  writeFileSync(`${file}~`, "fresh")
  renameSync(`${file}~`, file)
  expect(await look(2)).toBe(1)
})

test("an editor that moves the old file away and writes it anew is one change", async () => {
  renameSync(file, `${file}~`)
  expect(await look(1)).toBe(0)
  writeFileSync(file, "second")
  expect(await look(2)).toBe(1)
})

test("a change of the same length within the same second is seen", async () => {
  writeFileSync(file, "third")
  expect(await look(2)).toBe(1)
})

test("what goes and what comes back is told of", async () => {
  unlinkSync(file)
  expect(await look(2)).toBe(1)
  writeFileSync(file, "first")
  expect(await look(2)).toBe(1)
})

test("a ConfigMap that is mounted changes by a link to another folder, and is seen", async () => {
  const write = (version: string, text: string) => {
    mkdirSync(path.join(folder, version))
    writeFileSync(path.join(folder, version, "proxy.config.yaml"), text)
    symlinkSync(version, path.join(folder, "..data_tmp"))
    renameSync(path.join(folder, "..data_tmp"), path.join(folder, "..data"))
  }
  write("..2026_11_01", "one")
  const mounted = path.join(folder, "proxy.config.yaml")
  symlinkSync(path.join("..data", "proxy.config.yaml"), mounted)
  await watching([mounted])
  write("..2026_11_02", "two")
  rmSync(path.join(folder, "..2026_11_01"), { recursive: true })
  expect(await look(2)).toBe(1)
})

test("a file that joins is no change, and one of its own later is", async () => {
  const other = path.join(folder, "other.yaml")
  writeFileSync(other, "other")
  const files = [file]
  await watching(files)
  files.push(other)
  expect(await look(3)).toBe(0)
  writeFileSync(other, "changed")
  expect(await look(2)).toBe(1)
})

test("what somebody has read for a reason of their own is not told of, and the way back from it is", async () => {
  writeFileSync(file, "second")
  await watch.adopt()
  expect(await look(3)).toBe(0)
  writeFileSync(file, "first")
  expect(await look(2)).toBe(1)
})

test("nothing is told after the stop", async () => {
  writeFileSync(file, "second")
  await watch.look()
  await watch.stop()
  expect(await look(2)).toBe(0)
})
