/**
 * What all commands of the command line share: one table of options from which arguments are read and help is printed,
 * where output goes, and what an exit code says: 0 fine, 1 the command found problems or failed, 2 wrong usage.
 */
import { parseArgs } from "node:util"
import type { Environment } from "../config/interpolate.ts"

/** Where a command prints; `process` itself fits. */
export type CommandOutput = {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly stderr: { write(text: string): unknown }
}

/** Runs a command with the arguments that follow its name; resolves with the exit code. */
export type CommandRun = (args: readonly string[], env: Environment, cwd: string, out: CommandOutput) => Promise<number>

export type OptionShape = {
  readonly type: "string" | "boolean"
  /** May be given several times. */
  readonly multiple?: true
  /** Stands for the value in the help: `FILE`. */
  readonly value?: string
  /** What it does, for the help. */
  readonly text: string
}

export type CommandShape<Options extends Record<string, OptionShape>> = {
  /** As it is typed: `keys create`. */
  readonly name: string
  /** What it does: one or several whole sentences. */
  readonly about: string
  readonly options: Options
  /** Words beside the options, as the help shows them, and how many there must and may be; none by default. */
  readonly words?: { readonly text: string; readonly min: number; readonly max: number }
  /** What 0 and 1 mean, where it is not plain; with `codes` all of them. */
  readonly exits?: string
  /** Exit codes for what does not succeed, where 1 and 2 say something else. */
  readonly codes?: { readonly failed: number; readonly wrongUsage: number }
}

export type OptionValues<Options extends Record<string, OptionShape>> = {
  readonly [Name in keyof Options]?:
    | (Options[Name]["type"] extends "boolean" ? boolean : Options[Name] extends { multiple: true } ? string[] : string)
    | undefined
}

export type Asked<Options extends Record<string, OptionShape>> = {
  readonly values: OptionValues<Options>
  readonly words: readonly string[]
  readonly isJson: boolean
}

/** The command failed for a reason that its user can mend; the message is for them and holds no secret. */
export class CommandError extends Error {}

/** What was asked for makes no sense; the message is followed by the command's help. */
export class WrongUsage extends Error {}

const COMMON = {
  json: { type: "boolean", text: "print the result as one JSON object" },
  help: { type: "boolean", text: "print this text" },
} as const satisfies Record<string, OptionShape>

/** More options than this are only listed. */
const SYNOPSIS_OPTIONS_MAX = 5

/**
 * Reads the arguments and lets `act` do the command's work. Help, wrong usage and failures are answered here, in the
 * same way for every command; what else is thrown is a fault and passes through.
 */
export async function runCommand<const Options extends Record<string, OptionShape>>(
  shape: CommandShape<Options>,
  args: readonly string[],
  out: CommandOutput,
  act: (asked: Asked<Options>) => Promise<number> | number,
): Promise<number> {
  let isJson = args.includes("--json")
  const { failed, wrongUsage } = shape.codes ?? { failed: 1, wrongUsage: 2 }
  try {
    const asked = readArguments(shape, args)
    if (asked === "help") {
      out.stdout.write(usageText(shape))
      return 0
    }
    isJson = asked.isJson
    return await act(asked)
  } catch (error) {
    if (error instanceof WrongUsage) {
      out.stderr.write(`tallygate ${shape.name}: ${error.message}\n\n${usageText(shape)}`)
      return wrongUsage
    }
    if (!(error instanceof CommandError)) throw error
    if (isJson) out.stdout.write(toJson({ kind: "failed", reason: error.message }))
    else out.stderr.write(`tallygate ${shape.name}: ${error.message}\n`)
    return failed
  }
}

/** A result for programs. */
export function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function readArguments<Options extends Record<string, OptionShape>>(
  shape: CommandShape<Options>,
  args: readonly string[],
): Asked<Options> | "help" {
  const { values, positionals } = parsed(shape, args)
  if (values.help === true) return "help"
  for (const [name, value] of Object.entries(values)) {
    if ([value].flat().includes("")) throw new WrongUsage(`--${name} needs a value`)
  }
  const { min, max, text } = shape.words ?? { min: 0, max: 0, text: "" }
  const surplus = positionals[max]
  if (surplus !== undefined) throw new WrongUsage(`\`${surplus}\` is one word too many`)
  if (positionals.length < min) throw new WrongUsage(`${text} is missing`)
  return { values: valuesOf<Options>(values), words: positionals, isJson: values.json === true }
}

function parsed(shape: CommandShape<Record<string, OptionShape>>, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries<OptionShape>({ ...shape.options, ...COMMON }).map(([name, { type, multiple = false }]) => [
      name,
      name === "help" ? { type, multiple, short: "h" } : { type, multiple },
    ]),
  )
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new WrongUsage(error.message)
  }
}

/** parseArgs has checked every value against the type that its option declares. */
function valuesOf<Options extends Record<string, OptionShape>>(values: object): OptionValues<Options> {
  return values as OptionValues<Options>
}

function usageText(shape: CommandShape<Record<string, OptionShape>>): string {
  const flags = Object.entries<OptionShape>({ ...shape.options, ...COMMON }).map(([name, { value, text }]) => ({
    flag: value === undefined ? `--${name}` : `--${name} ${value}`,
    text,
  }))
  const width = Math.max(...flags.map(({ flag }) => flag.length))
  const words = shape.words === undefined ? "" : ` ${shape.words.text}`
  const optional = flags.filter(({ flag }) => flag !== "--help").map(({ flag }) => ` [${flag}]`)
  const synopsis = optional.length <= SYNOPSIS_OPTIONS_MAX ? optional.join("") : " [OPTION...]"
  return `Usage: tallygate ${shape.name}${words}${synopsis}

${shape.about}

${flags.map(({ flag, text }) => `  ${flag.padEnd(width)}  ${text}\n`).join("")}
Exit code: ${shape.exits ?? "0 fine, 1 failed"}${shape.codes === undefined ? ", 2 wrong usage" : ""}.
`
}
