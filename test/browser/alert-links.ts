/**
 * Gives reason for alerts of every kind and raises them: calls that fail and cost too much, a model without a price, a key
 * that expires, stores that are away. What is raised is written by the looks themselves, and so are its links.
 */
import path from "node:path"
import { pino } from "pino"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { openPriceBook } from "../../src/app/price-book.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { systemClock } from "../../src/platform/clock.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { sheetFinder } from "../../src/reporting/token-classes.ts"
import { callOnce } from "../demo/traffic.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import type { Stage } from "./stage.ts"

const JOURNAL = "019a0000-0000-7000-8000-00000000a1e7"
const FAILED_CALLS = 12
const DAY_MS = 24 * 3_600_000

/** Rules that go off by what `raiseEveryKind` brings in. */
const RULES = [
  { kind: "error_rate", parameters: { percent: 1, minutes: 60, calls_min: 1 } },
  { kind: "provider_down", parameters: { percent: 50, minutes: 60, calls_min: 3 } },
  { kind: "anomaly", parameters: { usd_min: 10, deviations: 2 } },
  { kind: "unpriced", parameters: {} },
  { kind: "key_expiry", parameters: { days: 14 } },
  { kind: "store_degraded", parameters: { minutes: 0 } },
  { kind: "journal_backlog", parameters: { rows: 1 } },
] as const

/** Raises them; the kinds that they are of stand in the rules. */
export async function raiseEveryKind(stage: Stage): Promise<void> {
  const { app } = stage
  const key = stage.key("checkout-prod")
  for (const rule of RULES) {
    const made = await app.admin("POST", "/admin/v1/alert-rules", { scope: {}, name: `every ${rule.kind}`, ...rule })
    if (made.status !== 201) throw new Error(`${rule.kind}: ${JSON.stringify(made.body)}`)
  }
  const over = await app.createKey({ name: "soon-over", expires_at: new Date(Date.now() + 3 * DAY_MS).toISOString() })
  const answer = await callOnce(app.url, over.key, 0)
  await app.record(answer.headers.get("x-request-id") ?? "")
  const sql = openPostgres(app.databaseUrl, { max: 2, applicationName: "tallygate-stage" })
  try {
    await ingest(sql, JOURNAL, recordsOf(key))
    const watch = new AlertWatch({
      sql,
      clock: systemClock,
      log: pino({ level: "silent" }),
      findSheet: sheetFinder(await openPriceBook(path.join(import.meta.dirname, "../.."), [])),
      process: { storesUp: () => ({ limits: false, ledger: true }), backlogRows: () => 250_000 },
      baseUrl: "https://tallygate.northwind.example",
    })
    await watch.look()
  } finally {
    await sql.end({ timeout: 5 })
  }
}

function recordsOf({ id, organizationId, projectId, story }: ReturnType<Stage["key"]>) {
  const time = new Date(Date.now() - 60_000).toISOString()
  const own = { organization_id: organizationId, project_id: projectId, key_id: id, time, tool: story.tool, tags: [] }
  const failed = Array.from({ length: FAILED_CALLS }, () =>
    sampleRecord({
      ...{ ...own, provider: "flaky", provider_account: "flaky-eu", outcome: "error", end_state: "upstream_error" },
      ...{ http_status: 503, error_code: "overloaded_error", price_state: "free", cost_usd: "0", usage_source: "none" },
    }),
  )
  const dear = sampleRecord({ ...own, cost_usd: "900.000000000001" })
  const unpriced = sampleRecord({
    ...{ ...own, price_state: "unpriced", cost_usd: null, cost_source: "", price_row: "" },
    ...{ model_requested: "nameless-1", model_routed: "nameless-1", model_served: "nameless-1" },
  })
  return [...failed, dear, unpriced].map((record, index) => ({ seq: index + 1, body: JSON.stringify(record) }))
}
