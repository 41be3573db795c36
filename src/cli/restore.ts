/** `tallygate restore`: the ledger of a backup, whole or not at all, in the place of an empty one. */
import { existsSync } from "node:fs"
import { rm } from "node:fs/promises"
import path from "node:path"
import { journalFolder } from "../app/journal-folder.ts"
import type { Environment } from "../config/interpolate.ts"
import type { Config } from "../config/load.ts"
import type { Manifest } from "../ledger/backup.ts"
import { checkBackup, readBackup, writeBackup } from "../ledger/backup-file.ts"
import { journalPieces, placeJournals, refuseRunningJournals, stageJournals } from "../ledger/backup-journals.ts"
import { readLedger } from "../ledger/backup-read.ts"
import { type Restored, restoreLedger } from "../ledger/restore.ts"
import { checkServer, readStanding, refuseRunning, refuseUnknownSchema } from "../ledger/restore-target.ts"
import { type Migration, readMigrations } from "../platform/migrate.ts"
import type { Sql } from "../platform/postgres.ts"
import { version } from "../platform/version.ts"
import { type Reapplied, reapplyErasures } from "../privacy/reapply.ts"
import { keepErasures } from "../privacy/take-up.ts"
import { contents, summary } from "./backup.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { inTurn, mendable, timeInName } from "./ledger-copy.ts"
import { readConfig } from "./read-config.ts"
import { MIGRATIONS_FOLDER } from "./shipped-files.ts"
import { databaseName, withDatabase } from "./with-database.ts"

const SHAPE = {
  name: "restore",
  words: { text: "FILE", min: 1, max: 1 },
  about:
    "Puts the ledger of a backup into the configured database, all of it or nothing, and its journal beside the one of the\n" +
    "data directory. The file is read to its end and checked first. Every Tallygate on that database must be stopped.",
  options: {
    force: {
      type: "boolean",
      text: "also where the database is not empty: what is there is first saved to a backup in the data directory",
    },
    check: { type: "boolean", text: "only check the file, and touch nothing" },
  },
  exits: "0 restored, or the file is sound, 1 failed or refused",
} as const

type Done = {
  readonly restored: Restored
  readonly journalFiles: number
  /** '' where the database was empty. */
  readonly earlier: string
  /** Persons who had been erased since the backup, or before it in a database that knew. */
  readonly erasedAgain: Reapplied
}

/** Runs the command with the arguments that follow `restore`; resolves with the exit code. */
export function runRestore(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, ({ values, words, isJson }) =>
    mendable(async () => {
      const file = path.resolve(cwd, words[0] ?? "")
      const manifest = await checkBackup(file)
      if (values.check === true) {
        out.stdout.write(
          isJson ? toJson({ file, ...summary(manifest) }) : `${file} is sound.\n  ${contents(manifest)}\n`,
        )
        return 0
      }
      const { config } = readConfig(env, cwd)
      const migrations = await readMigrations(MIGRATIONS_FOLDER)
      refuseUnknownSchema(manifest.head, migrations, manifest.tallygateVersion)
      refuseRunningJournals(journalFolder(config))
      const done = await withDatabase(config, (sql) =>
        restore({ sql, config, file, manifest, migrations, isForced: values.force === true }),
      )
      out.stdout.write(isJson ? toJson(forPrograms(config, manifest, done)) : forPeople(config, manifest, done))
      return 0
    }),
  )
}

type Asked = {
  readonly sql: Sql
  readonly config: Config
  readonly file: string
  readonly manifest: Manifest
  readonly migrations: readonly Migration[]
  readonly isForced: boolean
}

async function restore(asked: Asked): Promise<Done> {
  const { sql, config, file, manifest } = asked
  await checkServer(sql)
  await refuseRunning(sql)
  const earlier = await saveEarlier(asked)
  // A database that is to go is the one that knows who was erased last.
  const erased = await keepErasures(sql, config.data_dir)
  const staging = path.join(config.data_dir, "journal.restoring")
  let journalFiles = 0
  try {
    await stageJournals(readBackup(file), staging)
    const restored = await restoreLedger(sql, manifest.head, readBackup(file), {
      migrationsFolder: MIGRATIONS_FOLDER,
      codeVersion: version(),
      source: path.basename(file),
      earlier,
      beforeDone: () => {
        journalFiles = placeJournals(staging, journalFolder(config))
      },
    })
    return { restored, journalFiles, earlier, erasedAgain: await reapplyErasures(sql, erased) }
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

/** What stands in the database, in a backup of its own. Returns the file, or '' where the database is empty. */
async function saveEarlier({ sql, config, migrations, isForced }: Asked): Promise<string> {
  const standing = await readStanding(sql, migrations)
  if (standing.kind === "empty") return ""
  // What a restore that did not finish has left is no ledger: no Tallygate has started on it.
  if (standing.kind === "unfinished") return standing.earlier
  if (!isForced)
    throw new CommandError(
      `the database is not empty (${databaseName(config)}): there are rows in ${someOf(standing.tables)}. ` +
        "With --force they are saved to a backup in the data directory first, and then replaced. Nothing was changed.",
    )
  const file = path.join(config.data_dir, `before-restore-${timeInName(Date.now())}.ndjson.gz`)
  if (existsSync(file)) throw new CommandError(`${file} exists already. Try again in a second.`)
  await readLedger(sql, migrations, (tables) =>
    writeBackup(
      file,
      { tallygateVersion: version(), nowMs: Date.now() },
      inTurn(journalPieces(journalFolder(config)), tables),
    ),
  )
  return file
}

function someOf(tables: readonly string[]): string {
  const shown = tables.slice(0, 3).join(", ")
  return tables.length > 3 ? `${shown} and ${tables.length - 3} more tables` : shown
}

function forPrograms(config: Config, manifest: Manifest, { restored, journalFiles, earlier, erasedAgain }: Done) {
  return {
    database: databaseName(config),
    made_at: manifest.madeAt,
    rows: Object.fromEntries(restored.rows),
    journal_files: journalFiles,
    migrated: restored.migrated,
    earlier: earlier === "" ? null : earlier,
    erased_again: erasedAgain,
  }
}

function forPeople(config: Config, manifest: Manifest, { restored, journalFiles, earlier, erasedAgain }: Done): string {
  const { users, customers } = erasedAgain
  const lines = [
    `Restored the ledger of ${manifest.madeAt} (${databaseName(config)}).`,
    `  ${contents(manifest)}`,
    ...(restored.migrated.length === 0 ? [] : [`  Migrated to this version: ${restored.migrated.join(", ")}`]),
    ...(earlier === "" ? [] : [`  What was there before is in ${earlier}`]),
    ...(users + customers === 0 ? [] : [`  Erased again: ${users} users, ${customers} end-customers`]),
    ...(journalFiles === 0 ? [] : [`  Journal files that the next start ships: ${journalFiles}`]),
  ]
  return `${lines.join("\n")}\n`
}
