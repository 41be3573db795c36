/** Where the call goes, and whether this key may go there. */
import { mayUseModel, type VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Route } from "../providers/router.ts"
import type { Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

/** Longest model name repeated in an error. */
const SHOWN_NAME_MAX = 100

export type Routed = { readonly kind: "routed"; readonly route: Route } | Extract<Ending, { kind: "refused" }>

export function chooseRoute(plane: DataPlane, key: VirtualKey, model: string): Routed {
  const shown = model.length > SHOWN_NAME_MAX ? `${model.slice(0, SHOWN_NAME_MAX)}…` : model
  const param = "model"
  // Allowed before routed: a key learns nothing about models that it may not use.
  if (!mayUseModel(key, model)) {
    const message = `This key may not use the model \`${shown}\`. GET /v1/models lists what it may use; an admin can allow more.`
    return {
      kind: "refused",
      error: new ApiError("model_not_allowed", message, { param }),
      reason: "model not allowed",
    }
  }
  const route = plane.router.route(model)
  if (route !== null) return { kind: "routed", route }
  const names = [...plane.router.providers.keys()].join(", ")
  const message =
    `No provider is configured for the model \`${shown}\`. Configured: ${names || "none"}. ` +
    "GET /v1/models lists what this key may use; routes stand under `models:` in proxy.config.yaml."
  return { kind: "refused", error: new ApiError("model_not_found", message, { param }), reason: "model not found" }
}
