/** What kept a connection from coming about: `fetch` itself says only that it failed, and what failed in the cause. */

/** A code such as `ECONNREFUSED`, else the words of the innermost error. */
export function connectionFault(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code
  return cause instanceof Error ? cause.message : String(cause)
}
