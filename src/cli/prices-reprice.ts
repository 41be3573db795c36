/** `tallygate prices reprice`: prices calls of a span again, over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient } from "./admin-client.ts"
import { CommandError, type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { readInstant } from "./instant.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "prices reprice",
  about:
    "Prices calls again by the prices of now, as of when they came, and books the differences as entries beside them:\n" +
    "records stay as they are, sums, budgets and statements follow. Run again, it books nothing twice.",
  options: {
    from: { type: "string", value: "DATE", text: "calls from then on: 2026-11-01 (midnight UTC), or an instant" },
    to: { type: "string", value: "DATE", text: "calls before then" },
    provider: {
      type: "string",
      multiple: true,
      value: "P",
      text: "only calls to this provider; several times for several",
    },
    model: { type: "string", multiple: true, value: "M", text: "only calls that this model served" },
    organization: { type: "string", value: "ID", text: "only this organization's calls" },
    "dry-run": { type: "boolean", text: "only say what would change" },
  },
  exits: "0 done or told, 1 failed; what was booked before a failure stays, and the next run goes on from there",
} as const

/** Millions of calls take minutes. */
const ANSWER_MS_MAX = 3_600_000

const part = { records: z.number(), first_priced: z.number(), difference_usd: z.string() }
const repriced = z.looseObject({
  ...{ from: z.string(), until: z.string(), dry_run: z.boolean(), end: z.string() },
  ...{ looked_at: z.number(), still_unpriced: z.number(), ...part },
  organizations: z.array(z.looseObject({ organization_id: z.string(), organization: z.string().nullable(), ...part })),
  models: z.array(z.looseObject({ provider: z.string(), model: z.string(), price_row: z.string(), ...part })),
  limits: z.array(
    z.looseObject({
      ...{ limit_id: z.string(), scope: z.string(), subject: z.string(), subject_name: z.string().nullable() },
      ...{ counted: z.string().nullable(), counted_name: z.string().nullable(), window_id: z.string() },
      ...{ cap: z.string(), records: z.number(), difference_usd: z.string() },
    }),
  ),
})
type Repriced = z.output<typeof repriced>

/** Runs the command with the arguments that follow `prices reprice`; resolves with the exit code. */
export function runPricesReprice(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, isJson }) => {
    const instant = (name: "from" | "to") => {
      const text = values[name]
      if (text === undefined) throw new WrongUsage(`--${name} is missing`)
      return new Date(readInstant(name, text)).toISOString()
    }
    const wanted = {
      from: instant("from"),
      until: instant("to"),
      organization_id: values.organization,
      provider: values.provider,
      model: values.model,
      dry_run: values["dry-run"] === true,
    }
    const client = new AdminClient(env, ANSWER_MS_MAX)
    const found = await client.ask(repriced, "POST", "/admin/v1/prices/reprice", wanted)
    out.stdout.write(isJson ? toJson(found) : textOf(found))
    if (found.end === "stopped") throw new CommandError("it stopped before the end of the span. Run it again.")
    return 0
  })
}

function textOf(found: Repriced): string {
  const { from, until, dry_run: isDryRun, looked_at: looked, still_unpriced: unpriced } = found
  const lines = [
    `${from} until ${until}${isDryRun ? " (dry run: nothing is booked)" : ""}`,
    `${looked} records looked at, ${found.records} with another cost (${found.first_priced} had none), ` +
      `${unpriced} without a price still: ${found.difference_usd} USD`,
  ]
  const table = (title: string, head: readonly string[], rows: readonly string[][]) =>
    rows.length === 0
      ? []
      : [
          "",
          title,
          ...alignColumns([[...head, "records", "difference in USD"], ...rows], [head.length, head.length + 1]),
        ]
  const cells = (one: { records: number; difference_usd: string }) => [String(one.records), one.difference_usd]
  lines.push(
    ...table(
      "By organization",
      ["organization"],
      found.organizations.map((one) => [one.organization ?? one.organization_id, ...cells(one)]),
    ),
    ...table(
      "By model",
      ["model", "price row"],
      found.models.map((one) => [`${one.provider}/${one.model}`, one.price_row, ...cells(one)]),
    ),
    ...table(
      "By budget",
      ["budget", "window", "cap"],
      found.limits.map((one) => [nameOf(one), one.window_id, one.cap, ...cells(one)]),
    ),
  )
  return `${lines.join("\n")}\n`
}

function nameOf(limit: Repriced["limits"][number]): string {
  const { scope, subject, subject_name: name, counted, counted_name: countedName, limit_id: id } = limit
  const whom = counted === null ? "" : `, ${countedName ?? counted}`
  return `${scope.replace("_", " ")} ${name ?? subject}${whom} (${id})`
}
