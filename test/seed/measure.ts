/**
 * `node test/seed/measure.ts`: how long the dashboard's questions take on the seeded database of DATABASE_URL, each asked
 * several times: the quickest answer, and the processor time of the one backend that gave it.
 */
import { readFileSync } from "node:fs"
import { openPostgres } from "../../src/platform/postgres.ts"
import { recordsQuestion, usageQuestion } from "../../src/reporting/question.ts"
import type { Scope } from "../../src/reporting/scope.ts"
import { usageRecords } from "../../src/reporting/usage-records.ts"
import { usageReport } from "../../src/reporting/usage-report.ts"
import { ORGANIZATIONS } from "./people.ts"

const ROUNDS = 5
const ALL: Scope = { kind: "all" }
const LARGEST = ORGANIZATIONS[0]?.id ?? ""

const REPORTS: Readonly<Record<string, Record<string, unknown>>> = {
  "this month by model and day, compared": {
    range: "this_month",
    group_by: "model",
    bucket: "day",
    top: 7,
    compare: "weeks",
  },
  "this month's latency": { range: "this_month", latency: true },
  "this month by token class and day": { range: "this_month", group_by: "token_class", bucket: "day" },
  "today by model and hour": { range: "today", group_by: "model", bucket: "hour", top: 7 },
  "7 days by model and hour": { range: "7d", group_by: "model", bucket: "hour", top: 7 },
  "90 days by key and day": { range: "90d", group_by: "key", bucket: "day", top: 10, compare: "previous" },
  "90 days by project and model, outcome error": { range: "90d", group_by: "project,model", outcome: "error" },
  "the year by project and month": { range: "all", group_by: "project", bucket: "month", top: 10 },
  "the year's latency by model": { range: "all", group_by: "model", latency: true },
}

const PAGES: Readonly<Record<string, Record<string, unknown>>> = {
  "newest records": {},
  "of one key": { key: "key_seed_harbour_3_2" },
  failed: { outcome: "error" },
  "of an end-customer": { end_customer: "customer-17" },
  "with a tag": { tag: "env:prod" },
  "without a price": { unpriced: "true" },
  "of the rarest model": { model: "acme-internal-7b" },
  "of a quiet user, the whole year": { user: "user_seed_lantern_2_4", range: "all" },
  "of a model that nobody called, the whole year": { model: "nobody's", range: "all" },
}

const url = process.env.DATABASE_URL
if (url === undefined) throw new Error("DATABASE_URL is not set: name a database that was seeded.")
const sql = openPostgres(url, { max: 1, applicationName: "tallygate-measure" })
const [row] = await sql<{ pid: number; last: Date }[]>`
  SELECT pg_backend_pid() AS pid, (SELECT max(bucket) FROM usage_rollups) AS last`
const { pid = 0, last = new Date() } = row ?? {}
const nowMs = last.getTime() + 14 * 60_000
const reading = { sql, findSheet: () => undefined }

/** Processor time of the backend so far, in milliseconds (Linux counts it in hundredths of a second). */
function processorMs(): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

async function measured(ask: () => Promise<unknown>): Promise<string> {
  await ask()
  const before = processorMs()
  let quickest = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const startedMs = performance.now()
    await ask()
    quickest = Math.min(quickest, performance.now() - startedMs)
  }
  return `${Math.round(quickest)} ms | ${Math.round((processorMs() - before) / ROUNDS)} ms`
}

const line = (text: string) => void process.stdout.write(`${text}\n`)
line("| question | quickest | processor |\n|---|---:|---:|")
for (const [name, asked] of Object.entries(REPORTS)) {
  for (const organization of ["", LARGEST]) {
    const question = usageQuestion.parse({ ...asked, organization })
    const whose = organization === "" ? "all organizations" : "the largest one"
    line(`| ${name}, ${whose} | ${await measured(() => usageReport(reading, question, ALL, nowMs))} |`)
  }
}
for (const [name, asked] of Object.entries(PAGES)) {
  const question = recordsQuestion.parse({ ...asked, limit: 100 })
  line(`| first 100 records: ${name} | ${await measured(() => usageRecords(sql, question, ALL, nowMs))} |`)
}
await sql.end({ timeout: 5 })
