/** What the bound of a request is, as the proxy would ask for it: by its endpoint, read as it would arrive. */
import type { Api } from "../../src/providers/dialect.ts"
import { matchEndpoint } from "../../src/providers/endpoint.ts"
import type { RequestBound } from "../../src/providers/request-bound.ts"

/** `request` is what is sent, an object as JSON; the path stands without the API's version. */
export function boundOfRequest(
  api: Api,
  path: string,
  request: object | Buffer,
  contentType = "application/json",
): RequestBound {
  const match = matchEndpoint(api, "POST", path)
  if (match === null) throw new Error(`${path} is no endpoint of ${api}`)
  const { dialect, name } = match.endpoint
  const body = Buffer.isBuffer(request) ? request : Buffer.from(JSON.stringify(request))
  const form = { model: match.model, isStream: name === "stream_generate_content", contentType }
  const read = dialect.readRequest(body, form)
  if (read.kind === "invalid") throw new Error(read.message)
  const { facts, outline = null } = read
  return dialect.bound({ body, form, facts, model: facts.model, outline })
}

/** `bounded`, or why not. */
export function markOf(bound: RequestBound): string {
  return bound.kind === "bounded" ? "bounded" : bound.reason
}
