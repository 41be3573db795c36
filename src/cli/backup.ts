/** `tallygate backup`: one file with the whole ledger and the journal, made while Tallygate runs or stands still. */
import { existsSync, statSync } from "node:fs"
import path from "node:path"
import type { Environment } from "../config/interpolate.ts"
import { allRows, type Manifest, rowsOf } from "../ledger/backup.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { backUpTo, mendable, timeInName } from "./ledger-copy.ts"
import { readConfig } from "./read-config.ts"
import { databaseName, isDatabaseMade } from "./with-database.ts"

const SHAPE = {
  name: "backup",
  about:
    "Writes the ledger as it is at one instant, and the journal of the data directory, to one file that only its owner\n" +
    "may read. Tallygate may run meanwhile. The configuration is not part of it.",
  options: {
    out: {
      type: "string",
      value: "FILE|DIR",
      text: "where to write it (default: tallygate-backup-<time>.ndjson.gz here)",
    },
  },
  exits: "0 written, 1 failed",
} as const

/** Runs the command with the arguments that follow `backup`; resolves with the exit code. */
export function runBackup(args: readonly string[], env: Environment, cwd: string, out: CommandOutput): Promise<number> {
  return runCommand(SHAPE, args, out, ({ values, isJson }) =>
    mendable(async () => {
      const { config } = readConfig(env, cwd)
      if (!isDatabaseMade(config)) throw new CommandError(`there is no ledger yet (${databaseName(config)}).`)
      const file = fileFor(path.resolve(cwd, values.out ?? "."), Date.now())
      const { manifest, bytes } = await backUpTo(config, file)
      out.stdout.write(isJson ? toJson({ file, bytes, ...summary(manifest) }) : written(file, bytes, manifest))
      return 0
    }),
  )
}

/** What a backup holds, for programs. */
export function summary(manifest: Manifest) {
  return {
    made_at: manifest.madeAt,
    tallygate: manifest.tallygateVersion,
    ledger_id: manifest.head.ledgerId,
    schema: manifest.head.migrations.at(-1)?.name ?? null,
    tables: manifest.tables,
    journal_files: manifest.journalFiles,
  }
}

/** What a backup holds, for people. */
export function contents(manifest: Manifest): string {
  const { tables, journalFiles, head } = manifest
  const journal = journalFiles.length === 1 ? "1 journal file" : `${journalFiles.length} journal files`
  return (
    `${rowsOf(manifest, "usage_records")} usage records, ${allRows(manifest)} rows in ${tables.length} tables, ${journal}; ` +
    `schema ${head.migrations.at(-1)?.name ?? "none"}`
  )
}

function fileFor(out: string, nowMs: number): string {
  const isFolder = existsSync(out) && statSync(out).isDirectory()
  return isFolder ? path.join(out, `tallygate-backup-${timeInName(nowMs)}.ndjson.gz`) : out
}

function written(file: string, bytes: number, manifest: Manifest): string {
  return `Backup written to ${file} (${bytes} bytes).\n  ${contents(manifest)}\n`
}
