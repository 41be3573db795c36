/**
 * How a served model id finds its listed model: exactly; else without its decoration (snapshot date, region); else by
 * the longest listed prefix. Never by "contains": that is how a new mini model inherits the price of its big sister.
 */

/** Bedrock's inference profiles and Google's resource names stand in front of the id. */
const PLACE = /^(?:(?:us|us-gov|eu|apac|jp|au|ca|sa|global)\.|models\/|publishers\/[^/]+\/models\/)/
/** `-2025-08-07`, `-20250514`, and Vertex's `@20250514`, `@latest`, `@default`. */
const SNAPSHOT = /(?:-20\d\d-[01]\d-[0-3]\d|-20\d\d[01]\d[0-3]\d|@[\w-]+)$/

/** The spellings to look for exactly, the id itself first. */
export function spellings(id: string): readonly string[] {
  const placeless = id.replace(PLACE, "")
  return [...new Set([id, placeless, id.replace(SNAPSHOT, ""), placeless.replace(SNAPSHOT, "")])]
}

/** Words that make another model of a name, with another price. */
const SIBLINGS = new Set(
  "audio codex computer embedding fast flash image instruct large lite live max mini nano native pro realtime research search small tts transcribe turbo ultra vision".split(
    " ",
  ),
)

/**
 * Whether an id that begins with a listed prefix is a later snapshot of it rather than a sibling: `claude-opus-5`
 * speaks for `claude-opus-5-20260701`, not for `claude-opus-5-5`; `gemini-3.6-flash` not for `gemini-3.6-flash-lite`.
 * A sibling priced as its sister would be a silent lie; unpriced it is visible. Fine-tunes (`ft:`) end in names of
 * the caller's own, so only the version rule applies to them.
 */
export function isSnapshotOf(prefix: string, id: string): boolean {
  if (!id.startsWith(prefix)) return false
  const rest = id.slice(prefix.length)
  if (rest === "") return true
  if (/[a-z\d]$/i.test(prefix) && /^[a-z]/i.test(rest)) return false
  if (continuesVersion(prefix, rest)) return false
  return prefix.startsWith("ft:") || !rest.split(/[^a-z\d]+/i).some((word) => SIBLINGS.has(word))
}

/** A number of one or two digits after a number is the next part of a version; longer ones are dates and builds. */
function continuesVersion(prefix: string, rest: string): boolean {
  const before = /\d+$/.exec(prefix)?.[0]
  if (before === undefined) return false
  const glued = /^\d+/.exec(rest)?.[0]
  if (glued !== undefined) return before.length + glued.length < 3
  return /^[-.]\d{1,2}(?!\d)/.test(rest)
}
