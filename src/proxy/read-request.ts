/** What is asked: the body, and the facts that admission, routing and metering need of it. */
import { ApiError } from "../platform/error-table.ts"
import type { RequestFacts, RequestForm } from "../providers/dialect.ts"
import { isMultipart, readMultipart } from "../providers/multipart-form.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { readBody } from "./read-body.ts"

export type Asked = {
  readonly kind: "asked"
  readonly body: Buffer
  readonly facts: RequestFacts
  readonly form: RequestForm
  /** The body without what stands in its arrays, where it was read. */
  readonly outline?: Readonly<Record<string, unknown>> | undefined
}

export async function readRequest(plane: DataPlane, call: Call): Promise<Asked | Ending> {
  const { headers } = call.request
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding !== "identity") {
    const message = `Request bodies must not be compressed; this one says content-encoding: ${encoding.slice(0, 40)}.`
    return { kind: "refused", error: new ApiError("unsupported_encoding", message), reason: "encoding" }
  }
  const read = await readBody(call.request, plane.bounds.bodyBytesMax)
  if (read.kind === "left") return { kind: "left" }
  if (read.kind === "too large") {
    const message = `The request body is larger than ${plane.bounds.bodyBytesMax} bytes (body_bytes_max).`
    const close = [["connection", "close"]] as const
    return {
      kind: "refused",
      error: new ApiError("request_too_large", message, { headers: close }),
      reason: "too large",
    }
  }
  const form = formOf(call, headers["content-type"] ?? "")
  const unread = formFault(call, form, read.body)
  if (unread !== null) return { kind: "refused", error: unread, reason: "bad request" }
  const asked = call.endpoint.dialect.readRequest(read.body, form)
  if (asked.kind === "read") {
    const { facts, outline } = asked
    return { kind: "asked", body: read.body, facts, form, outline }
  }
  const param = asked.param === undefined ? {} : { param: asked.param }
  return { kind: "refused", error: new ApiError(asked.code, asked.message, param), reason: "bad request" }
}

const PLAIN_JSON: RequestForm = { model: null, isStream: null, contentType: "application/json" }

function formOf({ door, endpoint }: Call, contentType: string): RequestForm {
  const model = door.match?.model ?? null
  if (model === null) return contentType === "application/json" ? PLAIN_JSON : { ...PLAIN_JSON, contentType }
  return { model, isStream: endpoint.name === "stream_generate_content", contentType }
}

/** What a provider might read in another way than it is read here must not pass: it could name another key's objects. */
function formFault({ endpoint }: Call, { contentType }: RequestForm, body: Buffer): ApiError | null {
  if (!isMultipart(contentType)) return null
  if (endpoint.dialect.takesForms !== true) {
    const message = `\`${endpoint.name}\` takes JSON, and this request says content-type: multipart/form-data.`
    return new ApiError("invalid_request", message)
  }
  if (readMultipart(body, contentType) !== null) return null
  const message =
    "The request body is not a well-formed multipart form with the boundary that its content-type announces."
  return new ApiError("invalid_request", message)
}
