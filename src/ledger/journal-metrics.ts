/** The journal's figures in the metrics registry. */
import type { Registry } from "prom-client"
import { type Figure, registerFigures } from "../platform/figures.ts"
import type { Journal, JournalStats } from "./journal.ts"

const GAUGES: readonly Figure<JournalStats>[] = [
  {
    name: "tallygate_ledger_backlog_rows",
    help: "Ended calls that are not in the ledger yet.",
    read: (stats) => stats.backlogRows,
  },
  {
    name: "tallygate_ledger_journal_rows",
    help: "Rows in the journal, calls in flight included.",
    read: (stats) => stats.rows,
  },
  {
    name: "tallygate_ledger_journal_bytes",
    help: "Bytes of the journal on the disk.",
    read: (stats) => stats.bytes,
  },
  {
    name: "tallygate_ledger_backlog_age_seconds",
    help: "Age of the oldest ended call that is not in the ledger.",
    read: (stats) => stats.oldestAgeS,
  },
  {
    name: "tallygate_ledger_ingest_lag_seconds",
    help: "How long the newest shipped call waited for the ledger.",
    read: (stats) => stats.ingestLagS,
  },
  {
    name: "tallygate_ledger_quarantined_rows",
    help: "Records that the ledger has refused and that wait for a person.",
    read: (stats) => stats.quarantined,
  },
  {
    name: "tallygate_ledger_is_impaired",
    help: "1 while records cannot be written to the journal or to the ledger.",
    read: (stats) => (stats.lastError === null ? 0 : 1),
  },
]

const COUNTERS: readonly Figure<JournalStats>[] = [
  {
    name: "tallygate_ledger_shipped_total",
    help: "Calls of this process that are in the ledger.",
    read: (stats) => stats.shippedTotal,
  },
]

/** Registers the figures; each exposition reads the journal. */
export function registerJournalMetrics(registry: Registry, journal: Journal): void {
  registerFigures(registry, () => journal.stats(), { gauges: GAUGES, counters: COUNTERS })
}
