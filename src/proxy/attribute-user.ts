/**
 * Whose call it is, by a written precedence: a key that is bound to a user is that user, and nothing in a request changes
 * it; a key that is not may name a user of its organization in `x-tallygate-user`, by id or e-mail address, where an
 * admin allowed it (`attribute_users`). That user's limits then apply as well. Fields of the body name end-customers only.
 */
import { countedForUser } from "../identity/counted-apart.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import { text } from "./attribution.ts"
import type { Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Identification } from "./identify.ts"

export function attributeUser(plane: DataPlane, call: Call, key: VirtualKey): Identification | Promise<Identification> {
  const header = call.request.headers["x-tallygate-user"]
  if (header === undefined || key.userId !== "" || !key.mayAttributeUsers) return { kind: "caller", key }
  return lookUp(plane, call, key, text(header))
}

async function lookUp(plane: DataPlane, call: Call, key: VirtualKey, named: string): Promise<Identification> {
  try {
    const user = await plane.directory.user(key.organizationId, named)
    if (user === null) {
      const message = `There is no user \`${named}\` in this organization. x-tallygate-user takes a user's id or e-mail address.`
      const error = new ApiError("unknown_user", message, { param: "x-tallygate-user" })
      return { kind: "refused", error, reason: "unknown user" }
    }
    const attributed = { ...key, userId: user.id, limits: [...countedForUser(key.limits, user), ...user.limits] }
    call.key = attributed
    return { kind: "caller", key: attributed }
  } catch (cause) {
    const message = "Users cannot be looked up at the moment. Nothing was forwarded or charged; please try again."
    const headers = [["retry-after", "2"]] as const
    const error = new ApiError("identity_store_unavailable", message, { headers, cause })
    return { kind: "refused", error, reason: "identity unavailable" }
  }
}
