/**
 * `tallygate prices import`: a public JSON catalog of prices into a running Tallygate, over its admin API. All of it or
 * nothing; what has a price already keeps it unless that is asked for, and what could not be taken is named.
 */
import { readFile } from "node:fs/promises"
import path from "node:path"
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { readInstant } from "./instant.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "prices import",
  about:
    "Sets prices from a public catalog: LiteLLM's model_prices_and_context_window.json, or models.dev's api.json. Figures are\n" +
    "taken exactly as they are written. A model that has another price keeps it unless --overwrite says otherwise.",
  options: {
    "dry-run": { type: "boolean", text: "say what would become of each entry, and set nothing" },
    overwrite: { type: "boolean", text: "take entries that differ from a price there is" },
    from: { type: "string", value: "DATE", text: "when the prices begin to hold (default: now)" },
    organization: { type: "string", value: "ORG", text: "set them for this organization alone" },
  },
  words: { text: "FILE", min: 1, max: 1 },
  exits: "0 imported or compared, 1 the catalog is refused or nobody answers",
} as const

const entry = z.looseObject({
  entry: z.string(),
  status: z.enum(["added", "replaced", "kept", "skipped"]),
  provider: z.string().nullable(),
  model: z.string().nullable(),
  reason: z.string().nullable(),
  left_out: z.array(z.string()),
})
const imported = z.looseObject({
  dry_run: z.boolean(),
  ...{ added: z.number(), replaced: z.number(), kept: z.number(), unchanged: z.number(), skipped: z.number() },
  data: z.array(entry),
})

/** Runs the command with the arguments that follow `prices import`; resolves with the exit code. */
export function runPricesImport(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, words: [file = ""], isJson }) => {
    const text = await readCatalog(path.resolve(cwd, file))
    const from = values.from === undefined ? undefined : new Date(readInstant("from", values.from)).toISOString()
    const query = {
      dry_run: values["dry-run"] ? "true" : undefined,
      overwrite: values.overwrite ? "true" : undefined,
      effective_from: from,
      organization_id: values.organization,
      source: `imported from ${path.basename(file)}`,
    }
    const asked = withQuery("/admin/v1/prices/import", query)
    const answer = await new AdminClient(env).askText(imported, "POST", asked, text)
    out.stdout.write(isJson ? toJson(answer) : textOf(answer))
    return 0
  })
}

/** The text itself, since its figures must not become floats. @throws CommandError with the place of what is no JSON */
async function readCatalog(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (cause) {
    throw new CommandError(`the catalog ${file} cannot be read.`, { cause })
  }
  try {
    JSON.parse(text)
  } catch (cause) {
    throw new CommandError(
      `the catalog ${file} is no JSON: ${cause instanceof Error ? cause.message : ""}. Nothing was imported.`,
    )
  }
  return text
}

function textOf(answer: z.output<typeof imported>): string {
  const { added, replaced, kept, unchanged, skipped, data } = answer
  const verb = answer.dry_run ? "would be " : ""
  const cells = data.map(({ status, entry: name, provider, model, reason, left_out: leftOut }) => [
    status,
    provider === null ? name : `${provider}/${model}`,
    [reason ?? "", ...(leftOut.length === 0 ? [] : [`without ${leftOut.join(", ")}`])].filter(Boolean).join("; "),
  ])
  const sums = `${added} ${verb}added, ${replaced} ${verb}replaced, ${kept} kept, ${unchanged} unchanged, ${skipped} not taken`
  return `${cells.length === 0 ? "" : `${alignColumns(cells).join("\n")}\n`}${sums}\n`
}
