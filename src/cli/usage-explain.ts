/** `tallygate usage explain`: why a call cost what it cost, over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient } from "./admin-client.ts"
import { type CommandOutput, runCommand, toJson } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "usage explain",
  about:
    "Explains the cost of a call: each class with count, rate and amount, the price row with its date, and what was\n" +
    "corrected since. The lines add up to the cost exactly. The id is the x-request-id of the call's answer.",
  options: {},
  words: { text: "ID", min: 1, max: 1 },
} as const

const explanation = z.looseObject({
  ...{ id: z.string(), time: z.string(), provider: z.string(), model: z.string(), state: z.string() },
  price: z.looseObject({ row: z.string() }).nullable(),
  lines: z.array(
    z.looseObject({
      ...{
        class: z.string(),
        rated_as: z.string().nullable(),
        count: z.string().nullable(),
        unit: z.string().nullable(),
      },
      ...{ rate_usd: z.string().nullable(), per: z.number().nullable(), tier: z.string().nullable() },
      ...{ multiplier: z.string().nullable(), amount_usd: z.string() },
    }),
  ),
  cost_usd: z.string().nullable(),
  adjustments: z.array(
    z.looseObject({ booked_at: z.string(), reason: z.string(), source: z.string(), cost_usd: z.string().nullable() }),
  ),
  total_usd: z.string().nullable(),
  says: z.array(z.string()),
  next: z.string().nullable(),
})
type Explanation = z.output<typeof explanation>

/** Runs the command with the arguments that follow `usage explain`; resolves with the exit code. */
export function runUsageExplain(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ words: [id = ""], isJson }) => {
    const route = `/admin/v1/usage/records/${encodeURIComponent(id)}/explain`
    const found = await new AdminClient(env).ask(explanation, "GET", route)
    out.stdout.write(isJson ? toJson(found) : textOf(found))
    return 0
  })
}

function textOf(found: Explanation): string {
  const { time, provider, model, adjustments, says, next } = found
  const parts = [
    `${time}  ${provider}/${model}\n`,
    ...(found.lines.length === 0 ? [] : [`${alignColumns(costTable(found), [1, 3, 6, 7]).join("\n")}\n`]),
    ...(adjustments.length === 0 ? [] : [`\nCorrected since\n${alignColumns(entriesTable(found), [2]).join("\n")}\n`]),
    `\n${[...says, ...(next === null ? [] : [next])].join("\n")}\n`,
  ]
  return parts.join("")
}

function costTable({ lines, cost_usd: cost }: Explanation): string[][] {
  return [
    ["class", "count", "", "USD", "", "tier", "×", "cost in USD"],
    ...lines.map((line) => [
      line.rated_as === null || line.rated_as === line.class
        ? line.class
        : `${line.class} (at the rate of ${line.rated_as})`,
      line.count ?? "",
      line.unit ?? "",
      line.rate_usd ?? "",
      line.per === null ? "" : line.per === 1 ? "each" : `per ${line.per}`,
      line.tier ?? "",
      line.multiplier ?? "",
      line.amount_usd,
    ]),
    ["cost", "", "", "", "", "", "", cost ?? "not known"],
  ]
}

function entriesTable({ adjustments, total_usd: total }: Explanation): string[][] {
  return [
    ...adjustments.map(({ booked_at: at, source, reason, cost_usd: cost }) => [
      at,
      source,
      cost ?? "not known",
      reason,
    ]),
    ["sum now", "", total ?? "not known", ""],
  ]
}
