/**
 * `tallygate config check`: what the configuration comes to once file, environment and defaults are put together, or
 * everything that is wrong with it. Credentials are never printed.
 */
import type { Environment } from "../config/interpolate.ts"
import { listenersOf } from "../config/listeners.ts"
import { type Config, type ConfigProblem, formatProblem, loadConfig, type ProviderConfig } from "../config/load.ts"
import { redactConfig } from "../config/redact.ts"
import { type CommandOutput, runCommand, toJson } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "config check",
  about: "Checks the configuration and prints what it comes to; credentials are hidden.",
  options: {
    file: {
      type: "string",
      value: "FILE",
      text: "the file to check (default: TALLYGATE_CONFIG, else proxy.config.yaml)",
    },
  },
  exits: "0 valid, 1 problems found",
} as const

/** Runs the command with the arguments that follow `config check`; resolves with the exit code. */
export function runConfigCheck(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, ({ values, isJson }) => {
    const result = loadConfig({ env, cwd, ...(values.file === undefined ? {} : { path: values.file }) })
    if (result.kind === "invalid") {
      if (isJson) out.stdout.write(toJson(result))
      else out.stderr.write(describeProblems(result.problems))
      return 1
    }
    const config = redactConfig(result.config)
    if (isJson) out.stdout.write(toJson({ ...result, config }))
    else out.stdout.write(describeConfig(config, result.path, result.notes))
    return 0
  })
}

function describeProblems(problems: readonly ConfigProblem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`
  return `${problems.map(formatProblem).join("\n")}\n${count} in the configuration.\n`
}

function describeConfig(config: Config, path: string | null, notes: readonly string[]): string {
  const providers = Object.entries(config.providers)
  const facts = [
    ["file", path ?? "none; defaults and environment"],
    ...listenersOf(config).map(({ name, at }, index) => [
      index === 0 ? "listens on" : name,
      `${at.tls === undefined ? "" : "https://"}${at.host}:${at.port}${index === 0 ? workersText(config.workers) : ""}`,
    ]),
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
        providers.map(([name, provider]) => [name, provider.dialect, provider.base_url, credentialsText(provider)]),
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

function credentialsText({ api_key, access_key_id, accounts }: ProviderConfig): string {
  const own = api_key ?? access_key_id
  const short = own === undefined && accounts.length > 0 ? [] : [`key ${own ?? "none"}`]
  const listed = accounts.length === 0 ? [] : [`accounts ${accounts.map(({ name }) => name).join(" and ")}`]
  return [...short, ...listed].join(", ")
}

function workersText(workers: number): string {
  return workers === 1 ? "" : `, shared by ${workers} workers`
}
