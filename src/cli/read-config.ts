/** The configuration as commands read it: the sound one, or an error that lists everything that is wrong with it. */
import type { Environment } from "../config/interpolate.ts"
import { type Config, formatProblem, loadConfig } from "../config/load.ts"
import { CommandError } from "./command.ts"

export type ReadConfig = {
  readonly config: Config
  /** Absolute; null where there is no file. */
  readonly path: string | null
  /** Sentences for the operator, without secrets. */
  readonly notes: readonly string[]
}

/** `file`: read in place of the one that the environment names. @throws CommandError where it is wrong, one problem a line */
export function readConfig(env: Environment, cwd: string, file?: string): ReadConfig {
  const loaded = loadConfig({ env, cwd, ...(file === undefined ? {} : { path: file }) })
  if (loaded.kind === "loaded") return loaded
  throw new CommandError(`the configuration is wrong.\n${loaded.problems.map(formatProblem).join("\n")}`)
}
