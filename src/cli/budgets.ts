/**
 * `tallygate budgets`: where budgets stand, over the admin API of a running Tallygate. Its exit code says it in a number,
 * as monitoring plugins do, so that cron jobs and checks need not read the text.
 */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const EXIT_CODES = { ok: 0, warning: 1, exceeded: 2 } as const
/** Not one that a budget can cause: neither a failure nor wrong usage says anything of budgets. */
const CANNOT_TELL = 3

const SHAPE = {
  name: "budgets",
  about:
    "Lists budgets, the most used first: what is used of each cap, when it begins anew and where it goes. Shadow limits\n" +
    "are listed and do not count for the exit code.",
  options: {
    warn: {
      type: "string",
      value: "PERCENT",
      text: "percent of a cap from which on a budget is a warning (default: 80)",
    },
  },
  exits:
    "0 all is well, 1 a budget is used up to the percentage or will be used up before its window ends,\n" +
    "2 a budget is used up, 3 that cannot be told: the command failed, or wrong usage",
  codes: { failed: CANNOT_TELL, wrongUsage: CANNOT_TELL },
} as const

const budget = z.looseObject({
  ...{ scope: z.string(), subject: z.string(), subject_name: z.string().nullable() },
  ...{ each: z.string().nullable(), counted: z.string().nullable(), counted_name: z.string().nullable() },
  ...{ tool: z.string().nullable(), tag: z.string().nullable(), kind: z.string(), window: z.string() },
  ...{ days: z.number().nullable(), enforcement: z.string(), cap: z.string(), used: z.string() },
  ...{ percent: z.number().nullable(), resets_at: z.string().nullable(), projected_end: z.string().nullable() },
  status: z.enum(["ok", "warning", "exceeded"]),
})
const checked = z.looseObject({
  status: z.enum(["ok", "warning", "exceeded"]),
  budgets: z.array(budget),
  budgets_more: z.number(),
})
type Budget = z.output<typeof budget>

/** Runs the command with the arguments that follow `budgets`; resolves with the exit code. */
export function runBudgets(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values: { warn }, isJson }) => {
    if (warn !== undefined && !/^([1-9]\d?|100)$/.test(warn))
      throw new WrongUsage("--warn is a percentage from 1 to 100")
    const asked = withQuery("/admin/v1/budgets/check", { warn_percent: warn })
    const found = await new AdminClient(env).ask(checked, "GET", asked)
    out.stdout.write(isJson ? toJson(found) : textOf(found))
    return EXIT_CODES[found.status]
  })
}

const HEAD = ["state", "used", "budget", "used of", "cap", "window", "begins anew", "goes to"]
const RIGHT = [1, 3, 4, 7]

function textOf({ budgets, budgets_more: more }: z.output<typeof checked>): string {
  if (budgets.length === 0) return "There are no budgets.\n"
  const lines = alignColumns([HEAD, ...budgets.map(cellsOf)], RIGHT)
  if (more > 0) lines.push(`  and ${more} more, which are used less`)
  return `${lines.join("\n")}\n`
}

function cellsOf(one: Budget): string[] {
  const amount = (value: string) => (one.kind === "usd" ? `$${value}` : value)
  return [
    one.status,
    one.percent === null ? "-" : `${one.percent} %`,
    nameOf(one),
    amount(one.used),
    `${amount(one.cap)}${one.kind === "usd" ? "" : ` ${one.kind}`}`,
    one.window === "rolling" ? `${one.days} days` : one.window,
    one.resets_at ?? "-",
    one.projected_end === null ? "-" : amount(one.projected_end),
  ]
}

function nameOf(one: Budget): string {
  const parts = [
    `${one.scope.replace("_", " ")} ${one.subject_name ?? one.subject}`,
    ...(one.counted === null ? [] : [`${one.each} ${one.counted_name ?? one.counted}`]),
    ...(one.tool === null ? [] : [`tool ${one.tool}`]),
    ...(one.tag === null ? [] : [`tag ${one.tag}`]),
    ...(one.enforcement === "hard" ? [] : [one.enforcement]),
  ]
  return parts.join(", ")
}
