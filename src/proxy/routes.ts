/**
 * The doors of the data plane, all of them in one table. They are served on Node's own request and response; every
 * path under `/v1` that is not here is refused, so that no call goes round the meter.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { ApiError } from "../platform/error-table.ts"
import { openAiChat } from "../providers/openai-chat.ts"
import { type Call, type Endpoint, openCall } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { handle } from "./handle.ts"
import { identify } from "./identify.ts"
import { modelsFor, writeJson } from "./list-models.ts"
import { writeRefusal } from "./refuse.ts"

/** The endpoints that are metered. */
export const ENDPOINTS: readonly Endpoint[] = [
  { method: "POST", path: "/v1/chat/completions", name: "chat.completions", dialect: openAiChat },
]

const MODELS_PATH = "/v1/models"

/** True where the data plane answers this path, be it with a refusal. */
export function isDataPlanePath(path: string): boolean {
  return path === "/v1" || path.startsWith("/v1/")
}

/** Serves one request of the data plane; resolves when it is answered and written down. */
export async function serveDataPlane(
  plane: DataPlane,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  const endpoint = ENDPOINTS.find((candidate) => candidate.path === path)
  const call = openCall(plane, endpoint ?? UNKNOWN, request, response)
  if (endpoint !== undefined && request.method === endpoint.method) return handle(plane, call)
  if (request.method === "GET" && (path === MODELS_PATH || path.startsWith(`${MODELS_PATH}/`))) {
    return listModels(plane, call, path)
  }
  refuseRoute(call, path, endpoint)
}

/** Stands in where no endpoint is concerned: listing models, refusing a path. */
const UNKNOWN: Endpoint = { method: "POST", path: "", name: "", dialect: openAiChat }

async function listModels(plane: DataPlane, call: Call, path: string): Promise<void> {
  const identified = await identify(plane, call)
  if (identified.kind === "refused") {
    writeRefusal(call, identified.error)
    plane.metrics.refused(identified.error, identified.reason)
    return
  }
  const models = modelsFor(plane, identified.key)
  if (path === MODELS_PATH) return writeJson(call, { object: "list", data: models })
  const id = path.slice(MODELS_PATH.length + 1)
  const model = models.find((candidate) => candidate.id === id || encodeURIComponent(candidate.id) === id)
  if (model !== undefined) return writeJson(call, model)
  const message = `There is no model \`${id.slice(0, 100)}\` that this key may use. GET /v1/models lists those there are.`
  writeRefusal(call, new ApiError("model_not_found", message, { param: "model" }))
}

function refuseRoute(call: Call, path: string, endpoint: Endpoint | undefined): void {
  const method = (call.request.method ?? "").slice(0, 20)
  if (endpoint !== undefined) {
    const headers = [["allow", endpoint.method]] as const
    const message = `${path} takes ${endpoint.method}, not ${method}.`
    writeRefusal(call, new ApiError("method_not_allowed", message, { headers }))
    return
  }
  const doors = [...ENDPOINTS.map((known) => `${known.method} ${known.path}`), `GET ${MODELS_PATH}`].join(", ")
  const message = `There is no ${method} ${path.slice(0, 100)} here. Calls that are metered: ${doors}.`
  writeRefusal(call, new ApiError("route_not_found", message))
}
