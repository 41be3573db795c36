/** `tallygate periods`: months and their statements, over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const period = z.looseObject({
  ...{ organization_id: z.string(), organization: z.string(), period: z.string(), time_zone: z.string() },
  ...{ from: z.string(), until: z.string(), state: z.string() },
  ...{ closed_at: z.string().nullable(), closed_by: z.string().nullable() },
})
const sums = { records: z.string(), adjustments: z.string(), unpriced_records: z.string(), cost_usd: z.string() }
const statement = period.extend({
  totals: z.looseObject(sums),
  own_cost_usd: z.string(),
  prior_period_cost_usd: z.string(),
  lines: z.array(
    z.looseObject({
      ...{ line: z.string(), for_period: z.string(), project_id: z.string(), project: z.string() },
      ...{ provider: z.string(), model: z.string(), ...sums },
    }),
  ),
})
type Statement = z.output<typeof statement>

const ORGANIZATION = {
  organization: { type: "string", value: "ID", text: "whose months they are (default: the default organization)" },
} as const
const CSV = { csv: { type: "boolean", text: "print the lines as CSV" } } as const
const WORDS = { text: "PERIOD", min: 1, max: 1 } as const

const LIST = {
  name: "periods list",
  about: "Lists the months of an organization, newest first: the running one, those to close, those that are closed.",
  options: ORGANIZATION,
} as const

const SHOW = {
  name: "periods show",
  about: "Prints the statement of a month: as it was closed, or, where it is open, as it stands now.",
  options: { ...ORGANIZATION, ...CSV },
  words: WORDS,
} as const

const CLOSE = {
  name: "periods close",
  about:
    "Closes a month that is over: its statement is written down and stays. What comes later for it stands in the next\n" +
    "statement, as a line of this month. Closing it again changes nothing and prints the statement.",
  options: {
    ...ORGANIZATION,
    ...CSV,
    force: { type: "boolean", text: "close although usage of the month is known to be on its way" },
  },
  words: WORDS,
} as const

/** Runs the command with the arguments that follow `periods list`; resolves with the exit code. */
export function runPeriodsList(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(LIST, args, out, async ({ values, isJson }) => {
    const route = withQuery("/admin/v1/periods", { organization_id: values.organization })
    const found = await new AdminClient(env).ask(z.object({ data: z.array(period) }), "GET", route)
    const head = ["period", "state", "from", "until", "zone", "closed at", "closed by"]
    const rows = found.data.map((one) => [
      ...[one.period, one.state, one.from, one.until, one.time_zone, one.closed_at ?? "-", one.closed_by ?? "-"],
    ])
    out.stdout.write(isJson ? toJson(found) : `${alignColumns([head, ...rows]).join("\n")}\n`)
    return 0
  })
}

/** Runs the command with the arguments that follow `periods show`; resolves with the exit code. */
export function runPeriodsShow(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHOW, args, out, async ({ values, words: [name = ""], isJson }) => {
    const query = { organization_id: values.organization }
    await print(new AdminClient(env), readPeriod(name), query, { isJson, isCsv: values.csv === true }, out)
    return 0
  })
}

/** Runs the command with the arguments that follow `periods close`; resolves with the exit code. */
export function runPeriodsClose(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(CLOSE, args, out, async ({ values, words: [name = ""], isJson }) => {
    const client = new AdminClient(env)
    const wanted = { organization_id: values.organization, force: values.force === true }
    await client.ask(statement, "POST", `/admin/v1/periods/${readPeriod(name)}/close`, wanted)
    const query = { organization_id: values.organization }
    await print(client, name, query, { isJson, isCsv: values.csv === true }, out)
    return 0
  })
}

async function print(
  client: AdminClient,
  name: string,
  query: { readonly organization_id: string | undefined },
  { isJson, isCsv }: { readonly isJson: boolean; readonly isCsv: boolean },
  out: CommandOutput,
): Promise<void> {
  if (isJson && isCsv) throw new WrongUsage("--json and --csv exclude one another")
  const route = `/admin/v1/periods/${name}`
  if (isCsv) out.stdout.write(await client.askFile(withQuery(route, { ...query, format: "csv" })))
  else {
    const found = await client.ask(statement, "GET", withQuery(route, query))
    out.stdout.write(isJson ? toJson(found) : textOf(found))
  }
}

/** It stands in a path. @throws WrongUsage */
function readPeriod(text: string): string {
  if (/^\d{4}-\d\d$/.test(text)) return text
  throw new WrongUsage(`a period is a month such as 2026-11, not ${text}`)
}

const HEAD = ["line", "project", "model", "calls", "adjustments", "unpriced", "cost in USD"]

function textOf(found: Statement): string {
  const { organization, period: name, time_zone: zone, state, closed_at: closedAt, totals, lines } = found
  const rows = lines.map((line) => [
    line.line === "usage" ? "usage" : `prior period ${line.for_period}`,
    line.project || line.project_id || "-",
    `${line.provider}/${line.model}`,
    ...cells(line),
  ])
  const head = `${organization}, ${name} (${zone}), ${closedAt === null ? state : `closed at ${closedAt}`}`
  return `${head}\n${alignColumns([HEAD, ...rows, ["total", "", "", ...cells(totals)]], [3, 4, 5, 6]).join("\n")}\n`
}

function cells({ records, adjustments, unpriced_records: unpriced, cost_usd: cost }: Statement["totals"]): string[] {
  return [records, adjustments, unpriced, cost]
}
