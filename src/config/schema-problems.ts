/** What the schema refuses, turned into problems with the line at which each stands. */
import type { z } from "zod"
import { type ConfigProblem, printPath } from "./problem.ts"
import { type KeyPath, suggestKey } from "./schema-paths.ts"
import type { YamlSource } from "./yaml-source.ts"

/** One problem for each issue; none for values that could not be read, which have their own problem already. */
export function schemaProblems(issues: readonly z.core.$ZodIssue[], source: YamlSource): ConfigProblem[] {
  return issues
    .flatMap((issue) => problemsOf(issue, source))
    .filter((problem, index, all) => {
      if (source.unreadable.has(problem.path)) return false
      return all.findIndex((other) => other.path === problem.path && other.found === problem.found) === index
    })
}

function problemsOf(issue: z.core.$ZodIssue, source: YamlSource): ConfigProblem[] {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)))
  const at = (place: KeyPath, part: "key" | "value") => ({
    file: source.file,
    ...source.locate(place, part),
    path: printPath(place),
  })
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      ...at([...path, key], "key"),
      found: "an unknown key",
      expected: suggestKey(path, key),
    }))
  }
  if (issue.code === "invalid_key") {
    return [{ ...at(path, "key"), found: "this name", expected: issue.issues[0]?.message ?? issue.message }]
  }
  return [source.problemAt(path, valueAt(source.data, path), issue.message)]
}

/** What the file's data holds at a path; undefined where nothing stands there. */
export function valueAt(data: unknown, path: KeyPath): unknown {
  let value = data
  for (const step of path) {
    if (typeof value !== "object" || value === null) return undefined
    value = Object.entries(value).find(([key]) => key === String(step))?.[1]
  }
  return value
}
