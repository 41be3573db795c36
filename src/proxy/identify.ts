/** Who calls: the virtual key that the request presents, looked up in the cached directory. */
import type { Identified } from "../identity/directory.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Call, Refused } from "./call.ts"
import { presentedKey } from "./credential.ts"
import type { DataPlane } from "./data-plane.ts"

export type Identification = { readonly kind: "caller"; readonly key: VirtualKey } | Refused

const HOW: Partial<Readonly<Record<Call["door"]["api"], string>>> = {
  anthropic: "`x-api-key: tg_…` or `Authorization: Bearer tg_…`",
  google: "`x-goog-api-key: tg_…`",
  elevenlabs: "`xi-api-key: tg_…`",
}

const HOW_ELSEWHERE = "`Authorization: Bearer tg_…`"

/** Answers at once where the key is cached, which it nearly always is. */
export function identify(plane: DataPlane, call: Call): Identification | Promise<Identification> {
  const presented = presentedKey(call.request.headers, call.door.queryKeys)
  if (presented.kind === "none") {
    return unauthorized(
      "no key",
      `No API key was sent. Send ${HOW[call.door.api] ?? HOW_ELSEWHERE} with your virtual key.`,
    )
  }
  if (presented.kind === "differ") {
    const message =
      `Different API keys stand in ${presented.places.join(" and ")}. Send your virtual key in one of them, or in ` +
      "`x-tallygate-key` beside your own provider credential."
    return { kind: "refused", error: new ApiError("conflicting_api_keys", message), reason: "conflicting keys" }
  }
  call.callerCredential = presented.own
  const known = plane.directory.identifyCached(presented.secret)
  if (known !== undefined) return judge(call, known)
  return plane.directory.identify(presented.secret).then((identified) => judge(call, identified))
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
  const headers = [
    ["www-authenticate", 'Bearer realm="tallygate"'],
    // Agents ask again for as long as they run, if nobody tells them not to.
    ["x-should-retry", "false"],
  ] as const
  return { kind: "refused", error: new ApiError("invalid_api_key", message, { headers }), reason }
}
