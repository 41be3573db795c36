/** Says no, in the caller's dialect: the one place of the data plane where an error is rendered. */
import { ApiError } from "../platform/error-table.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

/** Writes the error as the whole answer; where bytes have left already, the connection is cut instead. */
export function writeRefusal(call: Pick<Call, "id" | "response">, error: ApiError): void {
  const { response } = call
  if (response.destroyed) return
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = JSON.stringify(error.toJson())
  response.writeHead(error.status, [
    "content-type",
    "application/json; charset=utf-8",
    "content-length",
    String(Buffer.byteLength(body)),
    "x-request-id",
    call.id,
    ...error.headers.flat(),
  ])
  response.end(body)
}

/** A fault of ours costs one call, is logged once with its cause, and tells the caller nothing but the request's id. */
export function faulted(plane: DataPlane, call: Call, fault: unknown): Ending {
  plane.log.error({ err: fault, request_id: call.id, endpoint: call.endpoint.name }, "call failed inside Tallygate")
  const message = `Tallygate failed while handling this call. Please report the request id ${call.id}.`
  return { kind: "refused", error: new ApiError("internal_error", message, { cause: fault }), reason: "fault" }
}
