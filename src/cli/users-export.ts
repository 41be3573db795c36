/** `tallygate users export`: all that stands of one person, over the admin API of a running Tallygate. */
import { createWriteStream } from "node:fs"
import { rename, rm } from "node:fs/promises"
import path from "node:path"
import { pipeline } from "node:stream/promises"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { mendable } from "./ledger-copy.ts"

const SHAPE = {
  name: "users export",
  about:
    "Writes all that stands of a user to a file, one JSON object a line: the table, and the row as the database has it,\n" +
    "without secrets. With --end-customer: of an end-customer of the organization, by the name that calls give.",
  words: { text: "ID", min: 0, max: 1 },
  options: {
    out: { type: "string", value: "FILE", text: "where to write it; only its owner may read it" },
    "end-customer": { type: "string", value: "NAME", text: "in the place of a user's ID" },
    organization: { type: "string", value: "ID", text: "whose end-customer" },
  },
} as const

/** Runs the command with the arguments that follow `users export`; resolves with the exit code. */
export function runUsersExport(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, ({ values, words: [id], isJson }) =>
    mendable(async () => {
      const route = routeOf(id, values["end-customer"], values.organization)
      if (values.out === undefined) throw new CommandError("say where to write it: --out FILE.")
      const file = path.resolve(cwd, values.out)
      await writeWhole(file, new AdminClient(env).read(route))
      out.stdout.write(isJson ? toJson({ file }) : `All that stands of ${id ?? values["end-customer"]} is in ${file}\n`)
      return 0
    }),
  )
}

function routeOf(id: string | undefined, customer: string | undefined, organization: string | undefined): string {
  if (id !== undefined && customer === undefined) return `/admin/v1/users/${encodeURIComponent(id)}/export`
  if (id !== undefined || customer === undefined || organization === undefined)
    throw new CommandError("say whose: the ID of a user, or --end-customer NAME and --organization ID.")
  return withQuery("/admin/v1/end-customers/export", { organization_id: organization, end_customer: customer })
}

/** Under another name until it is whole, so that half an answer is never taken for all of it. */
async function writeWhole(file: string, parts: AsyncIterable<Uint8Array>): Promise<void> {
  const part = `${file}.part-${process.pid}`
  try {
    await pipeline(parts, createWriteStream(part, { flags: "wx", mode: 0o600 }))
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}
