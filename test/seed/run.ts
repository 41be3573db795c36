/** `npm run seed -- --records 10000000`: fills the database of DATABASE_URL with a year of usage that ends now. */
import { parseArgs } from "node:util"
import { openPostgres } from "../../src/platform/postgres.ts"
import { seedUsage } from "./seed.ts"

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "100000" },
    days: { type: "string", default: "365" },
    seed: { type: "string", default: "1" },
    until: { type: "string" },
  },
})
const records = Number(values.records)
const days = Number(values.days)
const nowMs = values.until === undefined ? Date.now() : Date.parse(values.until)
const url = process.env.DATABASE_URL
const tell = (line: string) => void process.stdout.write(`${line}\n`)
if (!Number.isSafeInteger(records) || records < 1 || !(days >= 1 && days <= 2_000) || Number.isNaN(nowMs)) {
  tell("Usage: DATABASE_URL=postgres://… npm run seed -- --records 100000 [--days 365] [--until 2026-12-01] [--seed 1]")
  process.exitCode = 2
} else if (url === undefined) {
  tell("DATABASE_URL is not set: name the Postgres database that is to be filled, one that nobody needs.")
  process.exitCode = 2
} else {
  const sql = openPostgres(url, { max: 4, applicationName: "tallygate-seed" })
  try {
    await seedUsage(sql, { records, days: Math.floor(days), nowMs, seed: Number(values.seed), tell })
  } finally {
    await sql.end({ timeout: 5 })
  }
}
