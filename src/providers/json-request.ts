/**
 * Reads a JSON request body by its outline: everything but what stands in its arrays, so that a long prompt costs what a
 * short one does. Members that decide who is asked and how it is counted may stand once only, since twice in one body
 * they would be read differently by different servers.
 */
import type { ReadRequest } from "./dialect.ts"
import { jsonMembers, outline } from "./json-members.ts"
import { asObject, parseJson } from "./json-values.ts"

export type Outlined =
  | { readonly kind: "outlined"; readonly request: Record<string, unknown> }
  | Extract<ReadRequest, { kind: "invalid" }>

/** The request without what stands in its arrays; `decisive` names the members that may stand once only. */
export function readOutline(body: Buffer, decisive: readonly string[]): Outlined {
  const text = outline(body)
  const outlined = parseJson(text)
  // Where even the outline is broken, the error is to speak of the body as it was sent.
  const parsed = outlined.kind === "parsed" ? outlined : parseJson(body.toString("utf8"))
  if (parsed.kind === "broken") {
    return { kind: "invalid", code: "invalid_json", message: `The request body is not valid JSON: ${parsed.message}.` }
  }
  const request = asObject(parsed.value)
  if (request === null) return invalid("The request body must be a JSON object.")
  const repeated = repeatedMember(body, text, decisive)
  if (repeated !== null) return invalid(`\`${repeated}\` stands more than once in the request body.`, repeated)
  return { kind: "outlined", request }
}

/** The model that the body names, or what to tell the caller. */
export function modelOf(request: Record<string, unknown>): string | Extract<ReadRequest, { kind: "invalid" }> {
  if (typeof request.model === "string" && request.model !== "") return request.model
  return invalid("`model` must be a non-empty string; GET /v1/models lists what this key may use.", "model")
}

export function invalid(message: string, param?: string): Extract<ReadRequest, { kind: "invalid" }> {
  return { kind: "invalid", code: "invalid_request", message, ...(param === undefined ? {} : { param }) }
}

/** The name of a decisive member that stands twice; null where none does. The search in the outline spares nearly every body the scan. */
function repeatedMember(body: Buffer, text: string, decisive: readonly string[]): string | null {
  const isSuspect = decisive.some((name) => {
    const quoted = `"${name}"`
    const first = text.indexOf(quoted)
    return first >= 0 && text.indexOf(quoted, first + quoted.length) >= 0
  })
  // An escaped name ("mod\u0065l") escapes the search, so a backslash followed by u makes the body suspect too.
  if (!isSuspect && !text.includes("\\u00")) return null
  const seen = new Set<string>()
  for (const { name } of jsonMembers(body)) {
    if (seen.has(name) && decisive.includes(name)) return name
    seen.add(name)
  }
  return null
}
