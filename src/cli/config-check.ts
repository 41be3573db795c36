/**
 * `tallygate config check`: what the configuration comes to once file, environment and defaults are put together, or
 * everything that is wrong with it. Credentials are never printed.
 */
import { parseArgs } from "node:util"
import type { Environment } from "../config/interpolate.ts"
import { type Config, type ConfigProblem, formatProblem, loadConfig } from "../config/load.ts"
import { redactConfig } from "../config/redact.ts"

/** Where a command prints; `process` itself fits. */
export type CommandOutput = {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

const USAGE = `Usage: tallygate config check [--file FILE] [--json]

Checks the configuration and prints what it comes to; credentials are hidden.

  --file FILE  the file to check (default: TALLYGATE_CONFIG, else proxy.config.yaml)
  --json       print the result as one JSON object
  --help       print this text

Exit code: 0 valid, 1 problems found, 2 wrong usage.
`

/** Runs the command with the arguments that follow `config check`; returns the exit code. */
export function runConfigCheck(args: string[], env: Environment, cwd: string, out: CommandOutput): number {
  const asked = readArguments(args)
  if (asked.kind === "wrong") {
    out.stderr.write(`tallygate config check: ${asked.reason}\n\n${USAGE}`)
    return 2
  }
  if (asked.kind === "help") {
    out.stdout.write(USAGE)
    return 0
  }
  const result = loadConfig({ env, cwd, ...(asked.file === undefined ? {} : { path: asked.file }) })
  if (result.kind === "invalid") {
    if (asked.isJson) out.stdout.write(toJson(result))
    else out.stderr.write(describeProblems(result.problems))
    return 1
  }
  const config = redactConfig(result.config)
  if (asked.isJson) out.stdout.write(toJson({ ...result, config }))
  else out.stdout.write(describeConfig(config, result.path, result.notes))
  return 0
}

type Arguments =
  | { readonly kind: "check"; readonly file: string | undefined; readonly isJson: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly reason: string }

function readArguments(args: string[]): Arguments {
  try {
    const { values } = parseArgs({
      args,
      options: { file: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    })
    if (values.help === true) return { kind: "help" }
    if (values.file === "") return { kind: "wrong", reason: "--file needs the path of a file" }
    return { kind: "check", file: values.file, isJson: values.json === true }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return { kind: "wrong", reason: error.message }
  }
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function describeProblems(problems: readonly ConfigProblem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`
  return `${problems.map(formatProblem).join("\n")}\n${count} in the configuration.\n`
}

function describeConfig(config: Config, path: string | null, notes: readonly string[]): string {
  const providers = Object.entries(config.providers)
  const facts = [
    ["file", path ?? "none; defaults and environment"],
    ["listens on", `${config.listen.host}:${config.listen.port}${workersText(config.workers)}`],
    ["data", config.data_dir],
    ["ledger", config.database_url ?? "embedded Postgres in the data folder"],
    ["limits", config.redis_url ?? "counted in the process"],
    ["admin key", config.admin_key ?? "made at the first start"],
    ["sandbox", config.sandbox ? "on" : "off"],
  ]
  const blocks = [
    ["The configuration is valid.", ...alignColumns(facts)],
    [
      `Providers: ${providers.length === 0 ? "none" : ""}`.trim(),
      ...alignColumns(
        providers.map(([name, { dialect, base_url, api_key }]) => [
          name,
          dialect,
          base_url,
          `key ${api_key ?? "none"}`,
        ]),
      ),
    ],
    [
      config.models.length === 0 ? "Models: none" : "Models, first match wins:",
      ...alignColumns(
        config.models.map(({ match, provider, model }) => [
          match,
          model === undefined ? provider : `${provider} (${model})`,
        ]),
      ),
    ],
    ...(notes.length === 0 ? [] : [["Notes:", ...notes.map((note) => `  ${note}`)]]),
  ]
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`
}

function workersText(workers: number): string {
  return workers === 1 ? "" : `, shared by ${workers} workers`
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
}
