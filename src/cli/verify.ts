/**
 * `tallygate verify`: lets the meter read recorded answers of providers and says where it reads them otherwise than they
 * mean. For who doubts a count, and for a new shape of an answer before it costs anybody money.
 */
import { readdir, stat } from "node:fs/promises"
import path from "node:path"
import type { Environment } from "../config/interpolate.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { alignColumns } from "./text-table.ts"
import { compareUsage, type Difference } from "./verify/compare-usage.ts"
import { meterExchange } from "./verify/meter-exchange.ts"
import { readExchange } from "./verify/recorded-exchange.ts"

const SHAPE = {
  name: "verify",
  about:
    "Reads every *.json below DIR as a recorded exchange with a provider (method, path, request, response, and the usage\n" +
    "expected of it), runs the meter over the answer and prints what differs, class by class. Calls nobody.",
  options: {},
  words: { text: "DIR", min: 1, max: 1 },
  exits: "0 every exchange agrees, 1 some do not",
} as const

type Verdict = {
  /** The file, relative to the folder. */
  readonly file: string
  readonly verdict: "agrees" | "disagrees" | "not read" | "unreadable"
  /** Why there was nothing to compare. */
  readonly reason: string | null
  readonly differences: readonly Difference[]
}

/** Runs the command with the arguments that follow `verify`; resolves with the exit code. */
export function runVerify(
  args: readonly string[],
  _env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ words: [folder = ""], isJson }) => {
    const verdicts: Verdict[] = []
    for (const file of await listFiles(folder, cwd)) verdicts.push(await verifyFile(path.resolve(cwd, folder), file))
    const agreeing = verdicts.filter(({ verdict }) => verdict === "agrees").length
    if (isJson) out.stdout.write(toJson({ agree: agreeing, of: verdicts.length, exchanges: verdicts }))
    else out.stdout.write(`${verdicts.map(described).join("")}agree ${agreeing} of ${verdicts.length}\n`)
    return agreeing === verdicts.length ? 0 : 1
  })
}

/** @throws CommandError where there is nothing to verify */
async function listFiles(folder: string, cwd: string): Promise<string[]> {
  const full = path.resolve(cwd, folder)
  const found = await stat(full).catch(() => null)
  if (found?.isDirectory() !== true) throw new CommandError(`${folder} is no folder that can be read.`)
  const names = (await readdir(full, { recursive: true })).filter((name) => name.endsWith(".json")).sort()
  if (names.length === 0) throw new CommandError(`there is no *.json file in ${folder}.`)
  return names
}

async function verifyFile(folder: string, file: string): Promise<Verdict> {
  const read = await readExchange(path.join(folder, file))
  if (read.kind === "unreadable") return { file, verdict: "unreadable", reason: read.reason, differences: [] }
  const metered = meterExchange(read.exchange)
  if (metered.kind === "not read") return { file, verdict: "not read", reason: metered.reason, differences: [] }
  const differences = compareUsage(read.exchange.expected, metered)
  return { file, verdict: differences.length === 0 ? "agrees" : "disagrees", reason: null, differences }
}

/** Nothing where the exchange agrees. */
function described({ file, verdict, reason, differences }: Verdict): string {
  if (verdict === "agrees") return ""
  if (reason !== null) return `${file}: ${verdict}: ${reason}\n`
  const rows = differences.map((one) => [one.class, `expected ${one.expected}`, `got ${one.got}`])
  return `${file}: disagrees\n${alignColumns(rows).join("\n")}\n`
}
