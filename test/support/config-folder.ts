/** A folder for the config file of one test, and the loader's answers in the two forms that tests ask for. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Config, formatProblem, loadConfig } from "../../src/config/load.ts"

type Env = Record<string, string | undefined>

export type ConfigFolder = {
  readonly path: string
  /** Loads this text as `proxy.config.yaml`, or no file for null; a config with problems fails the test with them. */
  loaded(yaml: string | null, env?: Env): { config: Config; notes: readonly string[]; path: string | null }
  /** The formatted problems; none where the config is valid. */
  problems(yaml: string | null, env?: Env): string[]
  remove(): void
}

export function createConfigFolder(): ConfigFolder {
  const path = mkdtempSync(join(tmpdir(), "tallygate-config-"))
  const load = (yaml: string | null, env: Env = {}) => {
    if (yaml !== null) writeFileSync(join(path, "proxy.config.yaml"), yaml)
    return loadConfig({ cwd: path, env })
  }
  return {
    path,
    loaded: (yaml, env) => {
      const result = load(yaml, env)
      if (result.kind === "invalid") throw new Error(result.problems.map(formatProblem).join("\n"))
      return result
    },
    problems: (yaml, env) => {
      const result = load(yaml, env)
      return result.kind === "invalid" ? result.problems.map(formatProblem) : []
    },
    remove: () => rmSync(path, { recursive: true }),
  }
}
