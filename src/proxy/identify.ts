/** Who calls: the virtual key in `Authorization: Bearer`, looked up in the cached directory. */
import type { Identified } from "../identity/directory.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

const BEARER = /^Bearer +(\S+) *$/i

export type Identification =
  | { readonly kind: "caller"; readonly key: VirtualKey }
  | Extract<Ending, { kind: "refused" }>

/** Answers at once where the key is cached, which it nearly always is. */
export function identify(plane: DataPlane, call: Call): Identification | Promise<Identification> {
  const presented = BEARER.exec(call.request.headers.authorization ?? "")?.[1]
  if (presented === undefined) {
    return unauthorized("no key", "No API key was sent. Send `Authorization: Bearer tg_…` with your virtual key.")
  }
  const known = plane.directory.identifyCached(presented)
  if (known !== undefined) return judge(call, known)
  return plane.directory.identify(presented).then((identified) => judge(call, identified))
}

function judge(call: Call, identified: Identified): Identification {
  switch (identified.kind) {
    case "caller":
      call.key = identified.key
      return identified
    case "refused":
      return unauthorized("bad key", identified.message)
    case "unavailable": {
      const message = "Keys cannot be looked up at the moment. Nothing was forwarded or charged; please try again."
      const headers = [["retry-after", "2"]] as const
      const error = new ApiError("identity_store_unavailable", message, { headers, cause: identified.cause })
      return { kind: "refused", error, reason: "identity unavailable" }
    }
  }
}

function unauthorized(reason: string, message: string): Identification {
  const headers = [["www-authenticate", 'Bearer realm="tallygate"']] as const
  return { kind: "refused", error: new ApiError("invalid_api_key", message, { headers }), reason }
}
