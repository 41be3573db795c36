/** What is asked: the body, and the facts that admission, routing and metering need of it. */
import { ApiError } from "../platform/error-table.ts"
import type { RequestFacts } from "../providers/dialect.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { readBody } from "./read-body.ts"

export type Asked = { readonly kind: "asked"; readonly body: Buffer; readonly facts: RequestFacts }

export async function readRequest(plane: DataPlane, call: Call): Promise<Asked | Ending> {
  const encoding = call.request.headers["content-encoding"]
  if (encoding !== undefined && encoding !== "identity") {
    const message = `Request bodies must not be compressed; this one says content-encoding: ${encoding.slice(0, 40)}.`
    return { kind: "refused", error: new ApiError("unsupported_encoding", message), reason: "encoding" }
  }
  const read = await readBody(call.request, plane.bounds.bodyBytesMax)
  if (read.kind === "left") return { kind: "left" }
  if (read.kind === "too large") {
    const message = `The request body is larger than ${plane.bounds.bodyBytesMax} bytes (body_bytes_max).`
    const headers = [["connection", "close"]] as const
    return { kind: "refused", error: new ApiError("request_too_large", message, { headers }), reason: "too large" }
  }
  const asked = call.endpoint.dialect.readRequest(read.body)
  if (asked.kind === "read") return { kind: "asked", body: read.body, facts: asked.facts }
  const param = asked.param === undefined ? {} : { param: asked.param }
  return { kind: "refused", error: new ApiError(asked.code, asked.message, param), reason: "bad request" }
}
