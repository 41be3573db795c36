/** `tallygate migrate`: brings the database to this version's schema before a new version starts on it, and says how. */
import type { Environment } from "../config/interpolate.ts"
import { ensureUpcomingPartitions } from "../ledger/partitions.ts"
import { migrate, pendingMigrations, readMigrations } from "../platform/migrate.ts"
import { type Sql, sqlState } from "../platform/postgres.ts"
import { version } from "../platform/version.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { readConfig } from "./read-config.ts"
import { MIGRATIONS_FOLDER } from "./shipped-files.ts"
import { databaseName, isDatabaseMade, withDatabase } from "./with-database.ts"

const SHAPE = {
  name: "migrate",
  about:
    "Applies the migrations that the database lacks, each whole or not at all, and makes the ledger's partitions for the\n" +
    "coming months: in DATABASE_URL's database, or in the embedded one, which no running Tallygate may have open then.\n" +
    "A start of Tallygate does the same.",
  options: { "dry-run": { type: "boolean", text: "list what would be applied, and apply nothing" } },
  exits: "0 the database is up to date, or listed, 1 failed",
} as const

/** Runs the command with the arguments that follow `migrate`; resolves with the exit code. */
export function runMigrate(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, isJson }) => {
    const { config } = readConfig(env, cwd)
    const database = databaseName(config)
    if (values["dry-run"] === true) {
      const pending = isDatabaseMade(config)
        ? await withDatabase(config, (sql) => pendingMigrations(sql, MIGRATIONS_FOLDER))
        : (await readMigrations(MIGRATIONS_FOLDER)).map(({ name }) => name)
      out.stdout.write(isJson ? toJson({ database, pending }) : listed("Pending", pending, database))
      return 0
    }
    const done = await withDatabase(config, bringUp)
    if (isJson) out.stdout.write(toJson({ database, ...done }))
    else out.stdout.write(listed("Applied", [...done.applied, ...done.partitions], database))
    return 0
  })
}

type BroughtUp = { readonly applied: string[]; readonly partitions: string[] }

async function bringUp(sql: Sql): Promise<BroughtUp> {
  try {
    const { applied } = await migrate(sql, MIGRATIONS_FOLDER, { codeVersion: version() })
    return { applied, partitions: await ensureUpcomingPartitions(sql, Date.now()) }
  } catch (error) {
    // The server said why: a right that is missing, or rows that stand in the way.
    if (sqlState(error) === undefined || !(error instanceof Error)) throw error
    throw new CommandError(error.message, { cause: error })
  }
}

function listed(what: "Pending" | "Applied", names: readonly string[], database: string): string {
  if (names.length === 0) return `The database is up to date (${database}).\n`
  return `${what} (${database}):\n${names.map((name) => `  ${name}\n`).join("")}`
}
