/** The database: whether it lets us in, is migrated, has its clock right and the partitions that records are about to need. */
import type { Config } from "../../config/load.ts"
import { missingPartitions } from "../../ledger/partitions.ts"
import { asError } from "../../platform/as-error.ts"
import { BoundedPostgres, PostgresTimeout } from "../../platform/bounded-postgres.ts"
import { EmbeddedPostgresError, startEmbeddedPostgres } from "../../platform/embedded-postgres.ts"
import { MigrationError, pendingMigrations } from "../../platform/migrate.ts"
import { isConnectionLost, openPostgres, type Sql, sqlState } from "../../platform/postgres.ts"
import { MIGRATIONS_FOLDER } from "../shipped-files.ts"
import { databaseName, embeddedFolder, isDatabaseMade } from "../with-database.ts"
import { type Finding, type Means, ok, problem, skewText, skipped } from "./finding.ts"

const SKEW_MS_MAX = 5_000

/** Asks the database, within a bound. */
export type Ask = <T>(act: (sql: Sql) => Promise<T>) => Promise<T>

/**
 * Findings of the database, and what `further` finds with it; with null where the database cannot be asked, or its
 * schema is not this version's.
 */
export async function checkDatabase(
  config: Config,
  means: Means,
  further: (ask: Ask | null) => Promise<Finding[]>,
): Promise<Finding[]> {
  if (config.database_url !== undefined) return checkServer(config, config.database_url, means, further)
  if (!isDatabaseMade(config)) {
    return [ok("database", `${databaseName(config)}, made at the first start`), ...(await further(null))]
  }
  try {
    const embedded = await startEmbeddedPostgres({ dataDir: embeddedFolder(config), sync: config.journal.sync })
    try {
      return await checkServer(config, embedded.url, means, further)
    } finally {
      await embedded.stop()
    }
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError)) throw error
    return [embeddedFault(error), ...(await further(null))]
  }
}

function embeddedFault(error: EmbeddedPostgresError): Finding {
  if (error.reason === "locked") {
    return skipped(
      "database",
      `the embedded one is in use (${error.message}); it can be looked at while that is stopped`,
    )
  }
  const fix =
    "Let this user write to the folder, or restore a backup of it into an empty one; DATABASE_URL uses a server instead."
  return problem("database", `The embedded database does not start: ${error.message}.`, fix)
}

async function checkServer(
  config: Config,
  url: string,
  means: Means,
  further: (ask: Ask | null) => Promise<Finding[]>,
): Promise<Finding[]> {
  const postgres = new BoundedPostgres(() => openPostgres(url, { max: 1, applicationName: "tallygate-doctor" }))
  const ask: Ask = (act) => postgres.run(act, means.answerMsMax)
  try {
    const { findings, isCurrent } = await lookInside(config, means.nowMs, ask)
    return [...findings, ...(await further(isCurrent ? ask : null))]
  } finally {
    await postgres.close()
  }
}

type Look = { readonly findings: readonly Finding[]; readonly isCurrent: boolean }

async function lookInside(config: Config, nowMs: () => number, ask: Ask): Promise<Look> {
  try {
    const clock = await ask((sql) => clockFinding(sql, nowMs))
    const schema = await ask(schemaFinding)
    const isCurrent = schema.state === "ok"
    const partitions = isCurrent
      ? await ask((sql) => partitionFinding(sql, nowMs()))
      : skipped("partitions", "known once the database is migrated")
    return { findings: [ok("database", databaseName(config)), clock, schema, partitions], isCurrent }
  } catch (error) {
    return { findings: [refusal(error)], isCurrent: false }
  }
}

/** Why the database does not let us in. */
function refusal(error: unknown): Finding {
  const { message } = asError(error)
  const state = sqlState(error)
  const refused = `Postgres refuses: ${message}.`
  if (state === "28P01") {
    const fix =
      "Put the role's password into DATABASE_URL (percent-encoded), or change it: ALTER ROLE name PASSWORD '…'."
    return problem("database", refused, fix)
  }
  if (state === "28000") {
    return problem(
      "database",
      refused,
      "Name an existing role in DATABASE_URL, and let pg_hba.conf admit it from this host.",
    )
  }
  if (state === "3D000") {
    return problem(
      "database",
      refused,
      "Make the database (CREATE DATABASE name), or name another one in DATABASE_URL.",
    )
  }
  if (isConnectionLost(error) || error instanceof PostgresTimeout) {
    const fix =
      "Start Postgres, and check host and port in DATABASE_URL and what stands between (firewall, listen_addresses)."
    return problem("database", `Postgres cannot be reached: ${message}`, fix)
  }
  if (state !== undefined)
    return problem("database", refused, "Give the role of DATABASE_URL what the message asks for.")
  throw error
}

async function clockFinding(sql: Sql, nowMs: () => number): Promise<Finding> {
  const sentMs = nowMs()
  const [row] = await sql<{ ms: string }[]>`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS ms`
  const halfTripMs = (nowMs() - sentMs) / 2
  const skewMs = Number(row?.ms) - (sentMs + halfTripMs)
  // Within half of the round trip nobody knows when the server looked at its clock.
  if (Math.abs(skewMs) - halfTripMs <= SKEW_MS_MAX) return ok("clock", "Postgres and this machine agree")
  const text = `The clock of Postgres is ${skewText(skewMs)} this machine's: records and windows of limits would be off.`
  return problem("clock", text, "Set the clocks of both machines by NTP (chrony, systemd-timesyncd).")
}

async function schemaFinding(sql: Sql): Promise<Finding> {
  try {
    const pending = await pendingMigrations(sql, MIGRATIONS_FOLDER)
    if (pending.length === 0) return ok("migrations", "the database has this version's schema")
    return problem(
      "migrations",
      `Not applied yet: ${pending.join(", ")}.`,
      "Run `tallygate migrate`; a start of Tallygate does it too.",
    )
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error
    return problem("migrations", error.message, "Run the version of Tallygate that the message names.")
  }
}

async function partitionFinding(sql: Sql, nowMs: number): Promise<Finding> {
  const missing = await missingPartitions(sql, nowMs)
  if (missing.length === 0) return ok("partitions", "this month and the next one have theirs")
  const text = `The ledger has no partition ${missing.join(" and ")}.`
  return problem(
    "partitions",
    text,
    "Run `tallygate migrate`, which makes it; a running Tallygate does so every 6 hours.",
  )
}
