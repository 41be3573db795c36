/** What groups of a report are called: the name where the server knows one, the id where not, and words for "none". */
import type { Group } from "../api/usage.ts"
import { GROUPS, type GroupName } from "./view.ts"

const CLASSES: Readonly<Record<string, string>> = {
  input: "Input, uncached",
  input_uncached: "Input, uncached",
  cache_read: "Cache read",
  cache_write_5m: "Cache write, 5 min",
  cache_write_1h: "Cache write, 1 h",
  output: "Output",
  audio_input: "Audio input",
  audio_output: "Audio output",
  image_input: "Image input",
  image_output: "Image output",
  request: "Fee for each request",
  web_search: "Web searches",
  not_split: "Not split by class",
  terms: "Markup and discount",
}
const OUTCOMES: Readonly<Record<string, string>> = { ok: "Completed", error: "Failed", aborted: "Caller left" }

export function className(id: string): string {
  const plain = id.replace(/^fee:/, "")
  return CLASSES[plain] ?? plain.replaceAll("_", " ")
}

export function outcomeName(outcome: string): string {
  return OUTCOMES[outcome] ?? (outcome || "Unknown")
}

/** The id of a group, '' where its calls have none. */
export function groupId(group: Group, by: readonly GroupName[]): string {
  return by.map((name) => String(group[name] ?? "")).join("\u0000")
}

export function groupName(group: Group, by: readonly GroupName[]): string {
  return by.map((name) => oneName(group, name)).join(" / ")
}

function oneName(group: Group, name: GroupName): string {
  const id = String(group[name] ?? "")
  const known = group[`${name}_name`]
  if (typeof known === "string" && known !== "") return known
  if (id === "") return `No ${GROUPS[name].toLowerCase()}`
  if (name === "token_class") return className(id)
  return name === "outcome" ? outcomeName(id) : id
}

/** `key` → `keys`. */
export function plural(name: GroupName): string {
  const word = GROUPS[name].toLowerCase()
  return word.endsWith("s") ? `${word}es` : `${word}s`
}
