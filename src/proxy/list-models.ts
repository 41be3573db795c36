/** `GET /v1/models` and `GET /v1/models/{id}`: the models that this key may use, in OpenAI's shape. */
import { mayUseModel, type VirtualKey } from "../identity/virtual-key.ts"
import type { Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

export type Model = { id: string; object: "model"; created: number; owned_by: string }

/** The models, sorted by id. `created` is 0: when a provider made a model is nothing we know. */
export function modelsFor(plane: DataPlane, key: VirtualKey): Model[] {
  return plane.router
    .models((pricedAs) => plane.priceBook.models(pricedAs))
    .filter(({ id }) => mayUseModel(key, id))
    .map(({ id, provider }) => ({ id, object: "model", created: 0, owned_by: provider }))
}

export function writeJson(call: Call, value: object): void {
  const body = JSON.stringify(value)
  const length = String(Buffer.byteLength(body))
  const headers = ["content-type", "application/json", "content-length", length, "x-request-id", call.id]
  call.response.writeHead(200, headers)
  call.response.end(body)
}
