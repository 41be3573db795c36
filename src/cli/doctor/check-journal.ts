/** The journal: records that are not in the ledger yet, and those that the ledger has refused. */
import path from "node:path"
import type { Config } from "../../config/load.ts"
import { acknowledgedSeq } from "../../ledger/ingest.ts"
import { type JournalBacklog, readBacklog } from "../../ledger/journal-backlog.ts"
import { QUARANTINE_FILE, Quarantine } from "../../ledger/quarantine.ts"
import type { Ask } from "./check-database.ts"
import { type Finding, ok, problem, warning } from "./finding.ts"

/** A Tallygate that runs ships within a second; what has waited longer than this is stuck. */
const STUCK_MS = 60_000

/** `ask` is null where the ledger cannot be asked what it has. */
export async function checkJournal(config: Config, nowMs: number, ask: Ask | null): Promise<Finding[]> {
  const directory = path.join(config.data_dir, "journal")
  const acknowledged = (id: string) => (ask === null ? Promise.resolve(0) : ask((sql) => acknowledgedSeq(sql, id)))
  const waiting = (await readBacklog(directory, acknowledged)).filter((backlog) => isStuck(backlog, nowMs))
  return [backlogFinding(waiting, directory, ask !== null), quarantineFinding(directory)]
}

function isStuck({ isOpen, rows, oldestEndMs }: JournalBacklog, nowMs: number): boolean {
  if (rows === 0) return false
  return !isOpen || (oldestEndMs !== null && nowMs - oldestEndMs > STUCK_MS)
}

function backlogFinding(waiting: readonly JournalBacklog[], directory: string, isAsked: boolean): Finding {
  const rows = waiting.reduce((sum, backlog) => sum + backlog.rows, 0)
  if (rows === 0) return ok("journal", "no record waits for the ledger")
  if (!isAsked) {
    const text = `${directory} holds ${counted(rows)}; how many of them the ledger has is not known while it cannot be asked.`
    return warning("journal", text, "Keep the folder, mend the database, and run `tallygate doctor` again.")
  }
  const text = `${counted(rows)} in ${directory} ${rows === 1 ? "is" : "are"} not in the ledger.`
  const fix = waiting.some(({ isOpen }) => isOpen)
    ? "Read the log of the running Tallygate for why it does not ship them; they go on by themselves once the database takes them."
    : "Start Tallygate on this data folder: it ships them. Until then keep the folder."
  return problem("journal", text, fix)
}

function quarantineFinding(directory: string): Finding {
  const rows = new Quarantine(directory).count()
  if (rows === 0) return ok("quarantine", "the ledger has refused no record")
  const file = path.join(directory, QUARANTINE_FILE)
  const fix = `Read why: sqlite3 ${file} "SELECT added_at, sql_state, message FROM quarantine". They stay there, uncounted, until somebody enters them.`
  return problem("quarantine", `The ledger has refused ${counted(rows)}.`, fix)
}

function counted(rows: number): string {
  return rows === 1 ? "1 record" : `${rows} records`
}
