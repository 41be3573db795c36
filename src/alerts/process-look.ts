/** Looks at this process itself: stores that do not serve, and records that the ledger does not take. */
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import type { Found, LookOptions } from "./look.ts"
import { foundOf, utcDay } from "./usage-look.ts"

const MINUTE_MS = 60_000

const ADVICE: Readonly<Record<string, string>> = {
  limits: "Look at Redis. Until it is back each limit does what its on_store_failure says.",
  journal: "Look at the disk that data_dir is on. Calls are refused while nothing can be written there.",
  ledger: "Look at Postgres. Calls go on, and their records wait in the journal.",
}

/** Each store once a day. One that is back within the rule's time was not worth a message. */
export async function lookAtStores({ nowMs, downSinceMs }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { minutes } = parametersOf(rule, "store_degraded")
  return [...downSinceMs].flatMap(([store, sinceMs]) => {
    if (nowMs - sinceMs < minutes * MINUTE_MS) return []
    return foundOf(rule, {
      ...{ organizationId: "", subject: store, windowId: utcDay(nowMs), settled: 0, cap: 0 },
      title: `The store ${store} does not serve since ${new Date(sinceMs).toISOString()}`,
      facts: { Store: store, Since: new Date(sinceMs).toISOString() },
      advice: ADVICE[store] ?? "See the log of the process, and tallygate_store_up on its page /metrics.",
      query: null,
    })
  })
}

/** Once a day. */
export async function lookAtBacklog({ nowMs, process }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { rows: rowsMax } = parametersOf(rule, "journal_backlog")
  const rows = process.backlogRows()
  if (rows < rowsMax) return []
  const found = foundOf(rule, {
    ...{ organizationId: "", subject: "journal", windowId: utcDay(nowMs), settled: rows, cap: rowsMax },
    title: `${rows} records wait for the ledger`,
    facts: { Waiting: String(rows), "Told from": String(rowsMax) },
    advice: "Look at Postgres and at the log. Nothing is lost; at journal.rows_max calls are refused.",
    query: null,
  })
  return [found]
}
