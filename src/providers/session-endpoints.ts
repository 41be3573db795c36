/** Sessions over a WebSocket: what is known of their paths, and how what a server sends in them is read. */
import type { Api } from "./dialect.ts"
import { type Endpoint, modelCall } from "./endpoint-row.ts"
import { googleLive } from "./google-live.ts"
import { openAiRealtime } from "./openai-realtime.ts"

/** The paths of Google's are those of its services, and the version stands within the name. */
const SESSIONS: readonly (readonly [path: RegExp, endpoint: Endpoint])[] = [
  [/^\/realtime$/, modelCall("openai", "realtime", "/realtime", openAiRealtime)],
  [/^\/google\.[\w./]+BidiGenerateContent$/, modelCall("google", "live", "/live", googleLive)],
]

/** The kind of session behind a path; null where none is known. */
export function matchSession(api: Api, method: string, path: string): Endpoint | null {
  const match = SESSIONS.find(([pattern, endpoint]) => endpoint.api === api && method === "GET" && pattern.test(path))
  return match === undefined ? null : { ...match[1], method }
}
