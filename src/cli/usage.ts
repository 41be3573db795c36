/** `tallygate usage`: who spent what, over the admin API of a running Tallygate, for people, programs and spreadsheets. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { csvOf } from "../reporting/export-text.ts"
import type { Column, Table } from "../reporting/table.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { readInstantOrSpan } from "./instant.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "usage",
  about:
    "Sums usage and cost from the ledger. Money is exact; calls without a known price are counted as unpriced and cost\n" +
    "nothing here.",
  options: {
    by: {
      type: "string",
      value: "DIMENSIONS",
      text: "what to sum by, such as model or model,project (default: all in one)",
    },
    since: { type: "string", value: "SPAN|DATE", text: "from when on: 24h, 7d, 4w, 2026-11-01 (default: 30d)" },
    until: { type: "string", value: "SPAN|DATE", text: "until before when (default: now)" },
    csv: { type: "boolean", text: "print the rows as CSV" },
  },
} as const

const sums = z.record(z.string(), z.string().nullable())
const summary = z.object({
  range: z.object({ from: z.string(), until: z.string() }),
  data: z.array(sums),
  totals: sums,
})
type Summary = z.output<typeof summary>
type Sums = z.output<typeof sums>

/** Token classes of a sum, in the order in which they are shown. */
const TOKENS = [
  "input_uncached_tokens",
  "cache_read_tokens",
  "cache_write_5m_tokens",
  "cache_write_1h_tokens",
  "output_tokens",
]

/** Runs the command with the arguments that follow `usage`; resolves with the exit code. */
export function runUsage(args: readonly string[], env: Environment, _cwd: string, out: CommandOutput): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, isJson }) => {
    if (isJson && values.csv === true) throw new WrongUsage("--json and --csv exclude one another")
    const nowMs = Date.now()
    const instant = (name: "since" | "until", text: string | undefined) =>
      text === undefined ? undefined : new Date(readInstantOrSpan(name, text, nowMs)).toISOString()
    const until = instant("until", values.until)
    const from = instant("since", values.since ?? (until === undefined ? "30d" : undefined))
    const groupBy = values.by?.split(",").filter((part) => part !== "") ?? []
    const query = { from, until, group_by: groupBy.length === 0 ? undefined : groupBy.join(",") }
    const asked = withQuery("/admin/v1/usage/summary", query)
    const found = await new AdminClient(env).ask(summary, "GET", asked)
    if (isJson) out.stdout.write(toJson(found))
    else if (values.csv !== true) out.stdout.write(textOf(found, groupBy))
    else for await (const text of csvOf(tableOf(found, groupBy))) out.stdout.write(text)
    return 0
  })
}

/** A row for each group, or the one row of all. */
function tableOf({ data, totals }: Summary, groupBy: readonly string[]): Table {
  const names = [...new Set([...groupBy, ...Object.keys(totals)])]
  const columns = names.map((name): Column => ({ name, kind: groupBy.includes(name) ? "text" : "number" }))
  const rows = groupBy.length === 0 ? [totals] : data
  return { columns, pages: inOnePage(rows.map((row) => names.map((name) => row[name] ?? null))) }
}

async function* inOnePage<Row>(rows: readonly Row[]): AsyncGenerator<readonly Row[]> {
  yield rows
}

function textOf({ range: { from, until }, data, totals }: Summary, groupBy: readonly string[]): string {
  const head = [...groupBy, "calls", "unpriced", "input", "cache read", "cache 5m", "cache 1h", "output", "cost in USD"]
  const rows = data.map((row) => [...groupBy.map((name) => row[name] || "-"), ...sumCells(row)])
  const total = [...groupBy.map((_, index) => (index === 0 ? "total" : "")), ...sumCells(totals)]
  const right = head.map((_, column) => column).slice(groupBy.length)
  return `${from} until ${until}\n${alignColumns([head, ...rows, total], right).join("\n")}\n`
}

function sumCells(row: Sums): string[] {
  return ["records", "unpriced_records", ...TOKENS, "cost_usd"].map((name) => row[name] ?? "-")
}
