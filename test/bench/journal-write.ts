/**
 * What writing the journal costs: `node test/bench/journal-write.ts` prints the CPU of one call's two rows (1.2 KB each),
 * for one, four and ten calls to a write, written at once and through a thread.
 */
import { closeSync, mkdtempSync, openSync, rmSync, write, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { BatchPacker, END_ROW, START_ROW } from "../../src/ledger/journal-batch.ts"

const CALLS = 40_000
const ROUNDS = 5
const ID = "019a0000-0000-7000-8000-000000000001"
const BODY = JSON.stringify({ id: ID, text: "x".repeat(1_150) })

type Write = (fd: number, batch: Buffer) => void | Promise<void>

const atOnce: Write = (fd, batch) => {
  writeSync(fd, batch)
}
const throughThread: Write = (fd, batch) =>
  new Promise((resolve, reject) => {
    write(fd, batch, 0, batch.length, null, (error) => (error === null ? resolve() : reject(error)))
  })

async function cpuPerCallUs(file: string, callsPerWrite: number, writeBatch: Write): Promise<number> {
  const fd = openSync(file, "w")
  const packer = new BatchPacker()
  const before = process.cpuUsage()
  for (let call = 0; call < CALLS; call += callsPerWrite) {
    for (let index = 0; index < callsPerWrite; index++) {
      packer.add(START_ROW, ID, BODY)
      packer.add(END_ROW, ID, BODY)
    }
    await writeBatch(fd, packer.take(call + 1))
  }
  const { user, system } = process.cpuUsage(before)
  closeSync(fd)
  return (user + system) / CALLS
}

const folder = mkdtempSync(join(tmpdir(), "tallygate-journal-write-"))
try {
  console.log("| calls to a write | at once, µs a call | through a thread, µs a call |\n|---:|---:|---:|")
  for (const callsPerWrite of [1, 4, 10]) {
    const least = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, writeBatch] of [atOnce, throughThread].entries()) {
        const us = await cpuPerCallUs(join(folder, "journal"), callsPerWrite, writeBatch)
        least[index] = Math.min(least[index] ?? us, us)
      }
    }
    console.log(`| ${callsPerWrite} | ${least.map((us) => us.toFixed(1)).join(" | ")} |`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
