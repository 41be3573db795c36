/**
 * Serves the data plane on Node's own request and response: every request finds its door and goes one way, through
 * `handle`, but for the list of models, which is answered here and reaches no provider.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { type Call, openCall } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { handle } from "./handle.ts"
import { listModels, modelListPath } from "./list-models.ts"

/** Serves one request of the data plane; resolves when it is answered and written down. */
export function serveDataPlane(
  plane: DataPlane,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  const call: Call = openCall(plane, plane.doors.open(request, path), request, response)
  const listed = modelListPath(call)
  return listed === null ? handle(plane, call) : listModels(plane, call, listed)
}
