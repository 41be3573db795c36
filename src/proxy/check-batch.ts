/**
 * What a key may not ask for one by one it may not ask for in a batch either: models, endpoints and caps are held against
 * every request inside. Nothing in a batch is clamped, since it is a file by then: what asks for too much is refused.
 */
import { setImmediate as turn } from "node:timers/promises"
import { isCapped } from "../identity/call-caps.ts"
import { mayUseEndpoint, mayUseModel, type VirtualKey } from "../identity/virtual-key.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import { type BatchedRequest, batchedRequests } from "../providers/batch-requests.ts"
import type { Provider } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import { capCall } from "./cap-call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

/** Reading a long file must not keep other calls waiting. */
const BYTES_A_TURN = 1024 * 1024

/** Null where every batched request would be let in by itself, or where the key is not restricted in any way. */
export async function checkBatch(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
  provider: Provider,
): Promise<Refused | null> {
  if (!isRestricted(key) || call.endpoint.object?.act !== "create") return null
  let bytes = 0
  let at = 0
  for (const request of batchedRequests(call.endpoint, asked.body, asked.form)) {
    at++
    const fault =
      request.kind === "invalid"
        ? refused("invalid_request", request.message)
        : refuseOne(plane, call, key, provider, request)
    if (fault !== null) return numbered(fault, at)
    if (request.kind === "request") bytes += request.body.length
    if (bytes < BYTES_A_TURN) continue
    bytes = 0
    await turn()
  }
  return null
}

function isRestricted({ allowedModels, allowedEndpoints, caps }: VirtualKey): boolean {
  return allowedModels !== null || allowedEndpoints !== null || isCapped(caps)
}

function refuseOne(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  provider: Provider,
  { endpoint, body, facts }: BatchedRequest,
): Refused | null {
  const { model } = facts
  if (!mayUseEndpoint(key, endpoint.name)) {
    return refused("endpoint_not_allowed", `This key may not use the endpoint \`${endpoint.name}\`.`)
  }
  if (!mayUseModel(key, model) && !mayUseModel(key, `${provider.name}/${model}`)) {
    return refused("model_not_allowed", `This key may not use the model \`${model.slice(0, 100)}\`.`)
  }
  const form = { model: null, isStream: null, contentType: "application/json" }
  const capped = capCall(plane, call, key, { kind: "asked", body, facts, form }, { provider, model })
  if (capped.kind === "refused") return capped
  if (capped.outputTokensMax === null) return null
  const message = `It must ask for at most ${capped.outputTokensMax} output tokens: nothing is clamped in a batch.`
  return refused("call_too_large", message)
}

function numbered({ error, reason }: Refused, at: number): Refused {
  return { kind: "refused", error: new ApiError(error.code, `Request ${at} of the batch: ${error.message}`), reason }
}

function refused(code: ErrorCode, message: string): Refused {
  return { kind: "refused", error: new ApiError(code, message), reason: "batch" }
}
