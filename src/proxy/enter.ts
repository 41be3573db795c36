/** Whether this key may come in by this door: from its address, to an endpoint that it may use, and one that is metered. */
import { isIpAllowed } from "../identity/ip-allow.ts"
import { mayUseEndpoint, type VirtualKey } from "../identity/virtual-key.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import { methodsOf, modelPathsOf } from "../providers/endpoint.ts"
import type { Call, Refused } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { type Door, isPassable, isPlain } from "./open-door.ts"

const SHOWN_PATH_MAX = 100

/** Null where the key may; otherwise what to tell it. */
export function enter(plane: DataPlane, call: Call, key: VirtualKey): Refused | null {
  const { door, endpoint } = call
  const elsewhere = refuseAddress(call, key)
  if (elsewhere !== null) return elsewhere
  if (door.match === null) {
    const unknown = refuseUnknown(door, call.request.method ?? "")
    if (unknown !== null) return unknown
  }
  if (!mayUseEndpoint(key, endpoint.name)) {
    const message = `This key may not use the endpoint \`${endpoint.name}\`. An admin can add it to the key's allowed_endpoints.`
    return refused("endpoint_not_allowed", message, "endpoint not allowed")
  }
  if (!endpoint.isMetered && !key.mayUseUnmetered && !plane.bounds.allowsUnmetered) {
    const message =
      `Nobody here can meter ${call.request.method} ${shown(door.path)}, so it is not forwarded. An admin can allow it ` +
      "for this key with `unmetered: allow`, or for all keys in proxy.config.yaml."
    return refused("route_not_metered", message, "not metered")
  }
  return null
}

/** Null where the key may be used from the connection's address: a header could say anything. */
export function refuseAddress({ request }: Call, key: VirtualKey): Refused | null {
  if (key.ipAllow === null) return null
  const address = request.socket.remoteAddress ?? ""
  if (isIpAllowed(key.ipAllow, address)) return null
  const message = `This key may not be used from the address ${address}. An admin can add it to the key's ip_allow.`
  return refused("address_not_allowed", message, "address not allowed")
}

/** A path that is known with another method, or written in a way that a provider might read as another path. */
function refuseUnknown(door: Door, method: string): Refused | null {
  const allowed = isPlain(door) ? methodsOf(door.api, door.path) : []
  if (allowed.length > 0) {
    const headers = [["allow", allowed.join(", ")]] as const
    const message = `${shown(door.path)} takes ${allowed.join(" or ")}, not ${method.slice(0, 20)}.`
    return { kind: "refused", error: new ApiError("method_not_allowed", message, { headers }), reason: "method" }
  }
  if (isPassable(door)) return null
  const doors = modelPathsOf(door.api).join(", ")
  const message = `There is no ${method.slice(0, 20)} ${shown(door.path)} here. Calls to models: ${doors}.`
  return refused("route_not_found", message, "no such route")
}

function refused(code: ErrorCode, message: string, reason: string): Refused {
  return { kind: "refused", error: new ApiError(code, message), reason }
}

function shown(path: string): string {
  return path.slice(0, SHOWN_PATH_MAX)
}
