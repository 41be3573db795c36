/**
 * Google's resumable uploads answer with the address to which the bytes go. It is put in our own place, so that they come
 * through here as well: the provider's address takes no virtual key. (ai.google.dev, Files API, resumable upload.)
 */
import type { TLSSocket } from "node:tls"
import type { Call } from "./call.ts"

const URL_HEADERS = new Set(["x-goog-upload-url", "x-goog-upload-control-url"])

/** The answer's headers, a flat list of names and values, with addresses of uploads changed in place. */
export function throughHere(call: Call, headers: string[]): void {
  if (call.door.api !== "google") return
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!URL_HEADERS.has(headers[i] ?? "")) continue
    const url = URL.parse(headers[i + 1] ?? "")
    if (url !== null) headers[i + 1] = `${ownOrigin(call)}${call.request.url?.split("?")[0] ?? ""}${url.search}`
  }
}

/** As the caller reached us; a proxy in front says by which scheme. */
function ownOrigin({ request }: Call): string {
  const forwarded = String(request.headers["x-forwarded-proto"] ?? "")
    .split(",")[0]
    ?.trim()
  const isSecure = forwarded === "https" || (request.socket as Partial<TLSSocket>).encrypted === true
  return `${isSecure ? "https" : "http"}://${request.headers.host ?? ""}`
}
