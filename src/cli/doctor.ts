/**
 * `tallygate doctor`: looks at everything that an installation stands on and says of each thing whether it is well, and
 * if not, what mends it. It changes nothing, and every look has a bound in time.
 */
import { styleText } from "node:util"
import type { Environment } from "../config/interpolate.ts"
import { type Config, loadConfig } from "../config/load.ts"
import { asError } from "../platform/as-error.ts"
import { type CommandOutput, runCommand, toJson } from "./command.ts"
import { checkConfig } from "./doctor/check-config.ts"
import { checkDataFolder } from "./doctor/check-data-folder.ts"
import { type Ask, checkDatabase } from "./doctor/check-database.ts"
import { checkJournal } from "./doctor/check-journal.ts"
import { checkPorts } from "./doctor/check-port.ts"
import { checkPrices } from "./doctor/check-prices.ts"
import { checkProviders } from "./doctor/check-providers.ts"
import { checkRedisServer } from "./doctor/check-redis.ts"
import { type Finding, type Means, problem, skipped } from "./doctor/finding.ts"

const SHAPE = {
  name: "doctor",
  about:
    "Looks at configuration, data folder, port, database, Redis, prices, providers and journal; says what is wrong and\n" +
    "what mends it. Providers are asked for a list of their models with their credential, which nobody bills.",
  options: {},
  exits: "0 no problem (warnings aside), 1 problems found",
} as const

const MEANS: Means = { nowMs: Date.now, answerMsMax: 10_000 }
const COLORS = { ok: "green", skipped: "gray", warning: "yellow", problem: "red" } as const

/** Runs the command with the arguments that follow `doctor`; resolves with the exit code. */
export function runDoctor(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
  means: Means = MEANS,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ isJson }) => {
    const loaded = loadConfig({ env, cwd })
    const further = loaded.kind === "loaded" ? await examine(loaded.config, means) : [unexamined()]
    const findings = [...checkConfig(loaded), ...further]
    const problems = findings.filter(({ state }) => state === "problem").length
    const warnings = findings.filter(({ state }) => state === "warning").length
    if (isJson) out.stdout.write(toJson({ problems, warnings, findings }))
    else {
      const isColored = out.stdout.isTTY === true && !env.NO_COLOR
      out.stdout.write(
        `${describe(findings, isColored)}\n${counted(problems, "problem")}, ${counted(warnings, "warning")}.\n`,
      )
    }
    return problems === 0 ? 0 : 1
  })
}

/** Every look beside the others; findings in the order of the list. */
async function examine(config: Config, means: Means): Promise<Finding[]> {
  const looks: [check: string, look: Promise<Finding[]>][] = [
    ["data folder", checkDataFolder(config)],
    ["port", checkPorts(config)],
    ["database", checkDatabase(config, means, (ask) => examineFurther(config, means, ask))],
    ["redis", checkRedisServer(config, means)],
    ["prices", checkPrices(config, means.nowMs())],
  ]
  const found = looks.map(([check, look]) => look.catch((error: unknown) => [failed(check, error)]))
  return (await Promise.all(found)).flat()
}

/** What the database has a part in. */
async function examineFurther(config: Config, { nowMs }: Means, ask: Ask | null): Promise<Finding[]> {
  const found = await Promise.all([
    checkJournal(config, nowMs(), ask).catch((error: unknown) => [failed("journal", error)]),
    checkProviders(config, ask).catch((error: unknown) => [failed("providers", error)]),
  ])
  return found.flat()
}

/** One look that fails must not hide what the others find. */
function failed(check: string, error: unknown): Finding {
  const text = `It could not be looked at: ${asError(error).message}.`
  return problem(check, text, "Mend what the message names; if it names nothing of yours, please report it.")
}

function unexamined(): Finding {
  return skipped("everything else", "looked at once the configuration is right")
}

function describe(findings: readonly Finding[], isColored: boolean): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, state, text, fix }) => {
    const word = state.padEnd("problem".length)
    const shown = isColored ? styleText(COLORS[state], word, { validateStream: false }) : word
    const line = `${shown}  ${check.padEnd(width)}  ${text}`
    return fix === null ? [line] : [line, `${" ".repeat("problem".length + width + 4)}Fix: ${fix}`]
  })
  return lines.map((line) => `${line}\n`).join("")
}

function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`
}
