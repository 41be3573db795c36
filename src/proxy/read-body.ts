/** The request body, whole and bounded: by bytes really read, whatever the headers claim. */
import type { IncomingMessage } from "node:http"

export type ReadBody =
  | { readonly kind: "read"; readonly body: Buffer }
  | { readonly kind: "too large" }
  /** The caller went away before the body was complete. */
  | { readonly kind: "left" }

/** Reads at most `bytesMax` bytes; the rest of a longer body is left unread. */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<ReadBody> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) return Promise.resolve({ kind: "too large" })
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let bytes = 0
    request.on("data", (part: Buffer) => {
      bytes += part.length
      if (bytes > bytesMax) {
        request.pause()
        resolve({ kind: "too large" })
      } else parts.push(part)
    })
    request.on("end", () =>
      resolve({ kind: "read", body: parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts) }),
    )
    request.on("close", () => resolve({ kind: "left" }))
    request.on("error", () => resolve({ kind: "left" }))
  })
}
