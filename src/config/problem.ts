/**
 * A mistake in the configuration as an operator reads it: where it stands, what was found there and what was expected
 * instead. What was found is described without ever repeating a secret, also when the secret stands in the wrong place.
 */

import { SECRET_KEYS } from "./schema.ts"
import { isContainer, type KeyPath } from "./schema-paths.ts"

export type ConfigProblem = {
  /** The file as the operator would name it, or `environment`. */
  readonly file: string
  /** Counted from 1; null where the problem stands at no line: a missing file, an environment variable. */
  readonly line: number | null
  readonly column: number | null
  /** `providers.vllm.base_url`, `models[0].provider`, a variable's name; empty for the file as a whole. */
  readonly path: string
  readonly found: string
  readonly expected: string
}

export const HIDDEN = "‹hidden›"

const SHOWN_CHARACTERS_MAX = 60

/** One line: place, key, found, expected. */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}:${problem.column ?? 1}`
  const key = problem.path === "" ? "" : ` ${problem.path}:`
  return `${place}:${key} found ${problem.found}, expected ${problem.expected}`
}

/** A path as it is printed; keys that are not plain words are quoted, so that dots in them cannot mislead. */
export function printPath(path: KeyPath): string {
  return path
    .map((step, index) => {
      if (typeof step === "number") return `[${step}]`
      const key = /^[\w-]+$/.test(step) ? step : JSON.stringify(step)
      return index === 0 ? key : `.${key}`
    })
    .join("")
}

/**
 * What stands at a path, in words. Values are shown only where a single value belongs and none of it is secret: text in
 * place of a mapping may well be a credential one level too high.
 */
export function describeFound(path: KeyPath, value: unknown): string {
  if (value === undefined || value === null) return "nothing"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "a mapping"
  if (path.some((step) => typeof step === "string" && SECRET_KEYS.has(step))) return value === "" ? '""' : HIDDEN
  if (isContainer(path)) return typeof value === "string" ? "text" : `a ${typeof value}`
  if (typeof value !== "string") return String(value)
  return JSON.stringify(shorten(isUrlKey(path) ? hideInUrl(value) : value))
}

/** A connection string or address as it may be shown: without password and query. Text that is no URL is hidden whole. */
export function showUrl(url: string): string {
  return url.includes("://") ? hideInUrl(url) : HIDDEN
}

function isUrlKey(path: KeyPath): boolean {
  const last = path.at(-1)
  return typeof last === "string" && last.endsWith("_url")
}

/** Hides up to the last `@`, because a password that was not percent-encoded may hold any character. */
function hideInUrl(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)?([^:@/]*:)?.*@/is, (_, scheme = "", user = "") => `${scheme}${user}${HIDDEN}@`)
    .replace(/[?#].*$/s, (rest) => `${rest[0]}${HIDDEN}`)
}

function shorten(value: string): string {
  return value.length <= SHOWN_CHARACTERS_MAX ? value : `${value.slice(0, SHOWN_CHARACTERS_MAX)}…`
}
