/** `tallygate move`: from the embedded database to a Postgres server, without a file in between. */
import { existsSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import { journalFolder } from "../app/journal-folder.ts"
import { asStartError, StartError } from "../app/start-error.ts"
import type { Environment } from "../config/interpolate.ts"
import type { Config } from "../config/load.ts"
import { showUrl } from "../config/problem.ts"
import { BackupError, type Piece } from "../ledger/backup.ts"
import { refuseRunningJournals } from "../ledger/backup-journals.ts"
import { readLedger } from "../ledger/backup-read.ts"
import { type Restored, restoreLedger } from "../ledger/restore.ts"
import { type LedgerSums, readLedgerSums } from "../ledger/restore-sums.ts"
import { checkServer, readStanding, refuseRunning } from "../ledger/restore-target.ts"
import { readMigrations } from "../platform/migrate.ts"
import { openPostgres, type Sql } from "../platform/postgres.ts"
import { version } from "../platform/version.ts"
import { CommandError, type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { mendable } from "./ledger-copy.ts"
import { readConfig } from "./read-config.ts"
import { MIGRATIONS_FOLDER } from "./shipped-files.ts"
import { databaseName, embeddedFolder, withDatabase } from "./with-database.ts"

const SHAPE = {
  name: "move",
  about:
    "Copies the ledger from the embedded database of the data directory to an empty Postgres database, checks counts and\n" +
    "sums there, and leaves the embedded one as it is. No Tallygate may run on the data directory meanwhile.",
  options: {
    to: { type: "string", value: "DATABASE_URL", text: "the Postgres (14 or newer) to copy to: postgres://…" },
  },
  exits: "0 moved, 1 failed or refused",
} as const

type Moved = { readonly restored: Restored; readonly sums: LedgerSums }

/** Runs the command with the arguments that follow `move`; resolves with the exit code. */
export function runMove(args: readonly string[], env: Environment, cwd: string, out: CommandOutput): Promise<number> {
  return runCommand(SHAPE, args, out, ({ values, isJson }) =>
    mendable(async () => {
      if (values.to === undefined) throw new WrongUsage("--to is missing: where to move the ledger")
      const to = values.to
      if (!/^postgres(ql)?:\/\//.test(to)) throw new WrongUsage("--to takes a url that begins with postgres://")
      const { database_url: _, ...rest } = readConfig(env, cwd).config
      const config: Config = rest
      if (!existsSync(embeddedFolder(config)))
        throw new CommandError(`there is no embedded database in ${config.data_dir}.`)
      refuseRunningJournals(journalFolder(config))
      const moved = await withDatabase(config, (source) => withTarget(to, (target) => move(source, target, config)))
      out.stdout.write(isJson ? toJson(forPrograms(to, config, moved)) : forPeople(to, config, moved))
      return 0
    }),
  )
}

/** Faults of the target are told as its own: the source is not the one that DATABASE_URL names. */
async function withTarget<T>(url: string, act: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPostgres(url, { max: 2, applicationName: "tallygate-command" })
  try {
    return await act(sql)
  } catch (error) {
    const known = asStartError(error)
    // Without its cause, which would be taken for a fault of the source.
    if (known instanceof StartError) throw new CommandError(known.message.replaceAll("DATABASE_URL", "--to"))
    throw error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function move(source: Sql, target: Sql, config: Config): Promise<Moved> {
  const migrations = await readMigrations(MIGRATIONS_FOLDER)
  await checkServer(target)
  await refuseRunning(target)
  const standing = await readStanding(target, migrations)
  if (standing.kind === "full")
    throw new BackupError(
      `The database behind --to is not empty: there are rows in ${standing.tables.join(", ")}. Nothing was changed. ` +
        "Give a new database.",
    )
  const restored = await readLedger(source, migrations, async (pieces) => {
    const iterator = pieces[Symbol.asyncIterator]()
    const { value: first } = await iterator.next()
    if (first?.kind !== "ledger") throw new Error("a ledger was read without its head")
    const rest: AsyncIterable<Piece> = { [Symbol.asyncIterator]: () => iterator }
    return restoreLedger(target, first.head, rest, {
      migrationsFolder: MIGRATIONS_FOLDER,
      codeVersion: version(),
      source: `the ledger ${databaseName(config)}`,
      earlier: "",
    })
  })
  const sums = { source: await readLedgerSums(source), target: await readLedgerSums(target) }
  if (!isDeepStrictEqual(sums.source, sums.target))
    throw new Error(
      `the moved ledger does not add up: ${JSON.stringify(sums.source)} here, ${JSON.stringify(sums.target)} there`,
    )
  return { restored, sums: sums.target }
}

function forPrograms(to: string, config: Config, { restored, sums }: Moved) {
  const { records, costUsd, settled, keys } = sums
  return {
    from: databaseName(config),
    to: showUrl(to),
    rows: Object.fromEntries(restored.rows),
    migrated: restored.migrated,
    checked: { records, cost_usd: costUsd, settled, keys },
  }
}

function forPeople(to: string, config: Config, { sums }: Moved): string {
  return `Moved the ledger (${databaseName(config)}) to ${showUrl(to)}.
  Checked on both sides: ${sums.records} records, ${sums.costUsd} USD, ${sums.keys} keys, and what limits have settled.
  The embedded database is as it was.

Next: set DATABASE_URL (or database_url) to that address and start Tallygate on the same data directory, whose journal
goes on.
`
}
