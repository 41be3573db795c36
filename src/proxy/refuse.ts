/** Says no, in the caller's dialect: the one place of the data plane where an error is rendered. */
import { ApiError } from "../platform/error-table.ts"
import type { Api } from "../providers/dialect.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { errorBody } from "./error-shape.ts"

/** The answer's id, under every name that the API's SDK looks for. */
export function requestIdHeaders(api: Api, id: string): string[] {
  return api === "anthropic" ? ["x-request-id", id, "request-id", id] : ["x-request-id", id]
}

/** Writes the error as the whole answer; where bytes have left already, the connection is cut instead. */
export function writeRefusal(call: Pick<Call, "id" | "response"> & { readonly api: Api }, error: ApiError): void {
  const { response } = call
  if (response.destroyed) return
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = JSON.stringify(error.body ?? errorBody(call.api, error, call.id))
  response.writeHead(error.status, [
    "content-type",
    "application/json; charset=utf-8",
    "content-length",
    String(Buffer.byteLength(body)),
    ...requestIdHeaders(call.api, call.id),
    ...error.headers.flat(),
  ])
  response.end(body)
}

/** The error as this call's caller reads it. */
export function refuse({ id, response, door }: Call, error: ApiError): void {
  writeRefusal({ id, response, api: door.api }, error)
}

/** A fault of ours costs one call, is logged once with its cause, and tells the caller nothing but the request's id. */
export function faulted(plane: DataPlane, call: Call, fault: unknown): Ending {
  plane.log.error({ err: fault, request_id: call.id, endpoint: call.endpoint.name }, "call failed inside Tallygate")
  const message = `Tallygate failed while handling this call. Please report the request id ${call.id}.`
  return { kind: "refused", error: new ApiError("internal_error", message, { cause: fault }), reason: "fault" }
}
