/** The configuration: everything that `config check` refuses is a problem, everything that it notes is told. */
import { formatProblem, type LoadResult } from "../../config/load.ts"
import { type Finding, ok, problem } from "./finding.ts"

export function checkConfig(loaded: LoadResult): Finding[] {
  if (loaded.kind === "loaded") {
    const notes = loaded.notes.length === 0 ? "" : `; ${loaded.notes.join("; ")}`
    return [ok("config", `${loaded.path ?? "no file: defaults and environment"}${notes}`)]
  }
  return loaded.problems.map((one) => {
    const place = one.file === "environment" ? `the variable ${one.path}` : `${one.path || "the file"} in ${one.file}`
    return problem(
      "config",
      formatProblem(one),
      `Set ${place} to ${one.expected}. Each key is explained in proxy.config.yaml.`,
    )
  })
}
