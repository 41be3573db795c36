/**
 * A process that journals calls until it is killed. It says on standard output what it was promised, one line each:
 * `start <id>` when a start was acknowledged, `end <id>` and `drop <id>` when an acknowledgement came after them.
 * Arguments: the journal's directory and the url of a Postgres.
 */
import { writeSync } from "node:fs"
import { setImmediate as nextTick } from "node:timers/promises"
import { pino } from "pino"
import { openJournal } from "../../src/ledger/journal.ts"
import { sampleRecord } from "./sample-record.ts"

const [directory = "", databaseUrl = ""] = process.argv.slice(2)
const log = pino({ level: "silent" })
const journal = await openJournal({ directory, databaseUrl, log, sync: "process", rowsMax: 1_000_000, adoptMsMax: 10 })

async function client(number: number): Promise<never> {
  for (let call = 0; ; call++) {
    const record = sampleRecord({ key_id: `key_${number}` })
    await journal.start(record.id, JSON.stringify({ ...record, end_state: "interrupted", usage_source: "estimated" }))
    let promised = `start ${record.id}\n`
    await nextTick()
    const isDropped = call % 5 === 4
    if (isDropped) journal.drop(record.id)
    else journal.end(record.id, JSON.stringify(record))
    // Commits are made in order: a start that is acknowledged after the end says that the end is committed.
    const later = sampleRecord({ key_id: `key_${number}` })
    await journal.start(later.id, JSON.stringify({ ...later, end_state: "interrupted", usage_source: "estimated" }))
    promised += `${isDropped ? "drop" : "end"} ${record.id}\nstart ${later.id}\n`
    writeSync(1, promised)
  }
}

await Promise.all(Array.from({ length: 8 }, (_, number) => client(number)))
