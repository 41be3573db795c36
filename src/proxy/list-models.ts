/**
 * The models that a key may use, each API in its own shape: `GET /v1/models`, the same with `anthropic-version`, and
 * `GET /v1beta/models`; with an id, that model alone. They come from the configuration and the prices.
 */
import { mayUseModel, type VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Api } from "../providers/dialect.ts"
import type { Call, Refused } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { refuseAddress } from "./enter.ts"
import { identify } from "./identify.ts"
import { refuse, requestIdHeaders } from "./refuse.ts"

type Named = { readonly id: string; readonly provider: string }

const EPOCH = "1970-01-01T00:00:00Z"

/** The id that follows `/models/`, '' for the list; null where the request asks for something else. */
export function modelListPath({ door, request }: Call): string | null {
  if (request.method !== "GET") return null
  if (door.path === "/models") return ""
  return door.path.startsWith("/models/") ? door.path.slice("/models/".length) : null
}

export async function listModels(plane: DataPlane, call: Call, asked: string): Promise<void> {
  const identified = await identify(plane, call)
  if (identified.kind === "refused") return refuseListing(plane, call, identified)
  const elsewhere = refuseAddress(call, identified.key)
  if (elsewhere !== null) return refuseListing(plane, call, elsewhere)
  const { api, provider } = call.door
  const models = modelsFor(plane, identified.key, provider?.name ?? null)
  if (asked === "") return writeJson(call, listOf(api, models))
  const model = models.find(({ id }) => id === asked || encodeURIComponent(id) === asked)
  if (model !== undefined) return writeJson(call, shapeOf(api, model))
  const message = `There is no model \`${asked.slice(0, 100)}\` that this key may use. GET /v1/models lists those there are.`
  refuse(call, new ApiError("model_not_found", message, { param: "model" }))
}

function refuseListing(plane: DataPlane, call: Call, { error, reason }: Refused): void {
  refuse(call, error)
  plane.metrics.refused(error, reason)
}

/** The models, sorted by id; those of one provider alone, by their names there, where the path names it. */
function modelsFor(plane: DataPlane, key: VirtualKey, provider: string | null): Named[] {
  const nowMs = plane.clock.nowMs()
  const models = plane.router.models((pricedAs) => [
    ...new Set([...plane.priceBook.models(pricedAs), ...plane.storedPrices.models(pricedAs, nowMs)]),
  ])
  const allowed = models.filter(({ id }) => mayUseModel(key, id))
  if (provider === null) return allowed
  const prefix = `${provider}/`
  return allowed
    .filter((model) => model.provider === provider)
    .map(({ id }) => ({ id: id.startsWith(prefix) ? id.slice(prefix.length) : id, provider }))
}

function listOf(api: Api, models: readonly Named[]): object {
  const data = models.map((model) => shapeOf(api, model))
  switch (api) {
    case "anthropic":
      return { data, has_more: false, first_id: models[0]?.id ?? null, last_id: models.at(-1)?.id ?? null }
    case "google":
      return { models: data }
    default:
      return { object: "list", data }
  }
}

/** When a provider made a model is nothing we know: `created` is 0, the beginning of time. */
function shapeOf(api: Api, { id, provider }: Named): object {
  switch (api) {
    case "anthropic":
      return { type: "model", id, display_name: id, created_at: EPOCH }
    case "google":
      return { name: `models/${id}`, baseModelId: id, displayName: id }
    default:
      return { id, object: "model", created: 0, owned_by: provider }
  }
}

function writeJson(call: Call, value: object): void {
  const body = JSON.stringify(value)
  const length = String(Buffer.byteLength(body))
  const ids = requestIdHeaders(call.door.api, call.id)
  call.response.writeHead(200, ["content-type", "application/json", "content-length", length, ...ids])
  call.response.end(body)
}
