/** Asks a provider for the next page of a list that a caller asked for, on the same terms. */
import type { Api } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { requestTo, upstreamPath } from "./forward.ts"

const PAGE_BYTES_MAX = 16 * 1024 * 1024
/** How each API names the place at which its next page begins. */
const CURSORS: Partial<Readonly<Record<Api, string>>> = { anthropic: "after_id", google: "pageToken" }
const CURSOR_ELSEWHERE = "after"

/** The page behind `cursor`; rejects where the provider does not answer it with 200. */
export function fetchPage(plane: DataPlane, call: Call, admitted: Admitted, cursor: string): Promise<Buffer> {
  const { origin } = admitted.route.provider
  const path = withCursor(upstreamPath(call, admitted), CURSORS[call.door.api] ?? CURSOR_ELSEWHERE, cursor)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let bytes = 0
    let status = 0
    plane.upstreams.pool(origin).dispatch(
      { ...requestTo(call, admitted, path), body: null },
      {
        onConnect: () => undefined,
        onHead: (given) => {
          status = given
        },
        onData: (chunk) => {
          bytes += chunk.length
          if (bytes > PAGE_BYTES_MAX) throw new Error("The provider's page is too long.")
          parts.push(chunk)
          return true
        },
        onComplete: () => {
          if (status === 200) resolve(Buffer.concat(parts))
          else reject(new Error(`The provider answered its next page with ${status}.`))
        },
        onError: reject,
      },
    )
  })
}

function withCursor(path: string, name: string, cursor: string): string {
  const query = path.indexOf("?")
  const kept = query < 0 ? [] : path.slice(query + 1).split("&")
  const others = kept.filter((part) => !part.startsWith(`${name}=`))
  return `${query < 0 ? path : path.slice(0, query)}?${[...others, `${name}=${encodeURIComponent(cursor)}`].join("&")}`
}
