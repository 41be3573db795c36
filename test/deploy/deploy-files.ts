/** What stands in `deploy/`, as tests read it. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { parse } from "yaml"

export const PROJECT = path.join(import.meta.dirname, "..", "..")
export const DEPLOY = path.join(PROJECT, "deploy")

/** A file of the folder as text. */
export function deployText(name: string): string {
  return readFileSync(path.join(DEPLOY, name), "utf8")
}

/** A YAML file of the folder as it is after its anchors are merged. */
export function deployYaml<T>(name: string): T {
  return parse(deployText(name), { merge: true }) as T
}

/** A duration such as `75s`, `2m` or a bare number of seconds, in milliseconds. */
export function durationMs(text: string): number {
  const [, count = "", unit = "s"] = /^(\d+)(ms|s|m|h)?$/.exec(text) ?? []
  if (count === "") throw new Error(`${text} is no duration`)
  return Number(count) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit as "ms" | "s" | "m" | "h"]
}
