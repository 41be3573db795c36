/**
 * What a call says about itself in `x-tallygate-*` headers: tool, operation, conversation, tags, metadata. They only
 * describe; who pays is the key's own business. Everything is bounded, since it lands in an index.
 */
import type { IncomingHttpHeaders } from "node:http"
import { bounded } from "../platform/bounded-text.ts"

const TAGS_MAX = 16
const METADATA_MAX = 16

export type Attribution = {
  readonly tool: string
  readonly operation: string
  readonly conversation: string
  readonly tags: string[]
  readonly metadata: Record<string, string>
}

/**
 * Reads the headers. `-request-type` is another name of `-operation`, `-session` of `-conversation`; `-tags` is a
 * comma-separated list, `-metadata` is `name=value` pairs separated by commas.
 */
export function readAttribution(headers: IncomingHttpHeaders): Attribution {
  return {
    tool: text(headers["x-tallygate-tool"]),
    operation: text(headers["x-tallygate-operation"] ?? headers["x-tallygate-request-type"]),
    conversation: text(headers["x-tallygate-conversation"] ?? headers["x-tallygate-session"]),
    tags: list(headers["x-tallygate-tags"]).slice(0, TAGS_MAX),
    metadata: pairs(headers["x-tallygate-metadata"]),
  }
}

/** A value as it may stand on a record: at most 128 bytes of UTF-8, no control characters. */
export function text(value: string | string[] | undefined): string {
  if (value === undefined) return ""
  // Node hands header bytes over as Latin-1; callers mean UTF-8.
  const decoded = Buffer.from(String(value), "latin1").toString("utf8")
  return bounded(decoded)
}

function list(value: string | string[] | undefined): string[] {
  if (value === undefined) return []
  const items = Buffer.from(String(value), "latin1").toString("utf8").split(",").map(bounded)
  return [...new Set(items.filter((item) => item !== ""))]
}

function pairs(value: string | string[] | undefined): Record<string, string> {
  const found: [string, string][] = []
  for (const item of list(value).slice(0, METADATA_MAX)) {
    const equals = item.indexOf("=")
    if (equals > 0) found.push([item.slice(0, equals).trim(), item.slice(equals + 1).trim()])
  }
  return Object.fromEntries(found)
}
