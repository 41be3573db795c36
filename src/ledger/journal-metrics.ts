/**
 * The journal's figures in the metrics registry, and how its rows fare on their way to the ledger. Whether the two serve
 * is `tallygate_store_up`.
 */
import type { Registry } from "prom-client"
import { type Figure, registerFigures } from "../platform/figures.ts"
import type { Journal, JournalStats } from "./journal.ts"

const GAUGES: readonly Figure<JournalStats>[] = [
  {
    name: "tallygate_journal_rows",
    help: "Calls in the journal: those in flight, and those that are not in the ledger yet.",
    read: (stats) => stats.rows,
  },
  {
    name: "tallygate_journal_backlog_rows",
    help: "Ended calls that are not in the ledger yet.",
    read: (stats) => stats.backlogRows,
  },
  {
    name: "tallygate_journal_oldest_seconds",
    help: "Age of the oldest ended call that is not in the ledger; 0 where there is none.",
    read: (stats) => stats.oldestAgeS,
  },
  {
    name: "tallygate_journal_bytes",
    help: "Bytes of the journal on the disk.",
    read: (stats) => stats.bytes,
  },
  {
    name: "tallygate_ingest_lag_seconds",
    help: "How long the newest call that reached the ledger had waited for it.",
    read: (stats) => stats.ingestLagS,
  },
  {
    name: "tallygate_quarantine_rows",
    help: "Records that the ledger has refused and that wait for a person.",
    read: (stats) => stats.quarantined,
  },
]

const COUNTERS: readonly Figure<JournalStats>[] = [
  {
    name: "tallygate_journal_shipped_total",
    help: "Ended calls that have left the journal, for the ledger or for quarantine.",
    read: (stats) => stats.shippedTotal,
  },
]

/** Registers the figures; each exposition reads the journal, whose bound on rows is `rowsMax`. */
export function registerJournalMetrics(registry: Registry, journal: Journal, rowsMax: number): void {
  const bound: Figure<JournalStats> = {
    name: "tallygate_journal_rows_max",
    help: "Rows at which the journal is full and calls are refused.",
    read: () => rowsMax,
  }
  registerFigures(registry, () => journal.stats(), { gauges: [...GAUGES, bound], counters: COUNTERS })
}
