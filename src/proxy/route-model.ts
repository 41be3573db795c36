/** Where a call to a model goes, and whether this key may go there. */
import { mayUseModel, type VirtualKey } from "../identity/virtual-key.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import { type ModelTarget, pathAt, type Route } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

/** Longest model name repeated in an error. */
const SHOWN_NAME_MAX = 100

export type Routed = ({ readonly kind: "routed" } & ModelTarget) | Refused

/** By the model that is asked for, or to the provider that the path names. */
export function routeModel(plane: DataPlane, call: Call, key: VirtualKey, model: string): Routed {
  const shown = model.length > SHOWN_NAME_MAX ? `${model.slice(0, SHOWN_NAME_MAX)}…` : model
  const named = call.door.provider
  // Allowed before routed: a key learns nothing about models that it may not use.
  const isAllowed = mayUseModel(key, model) || (named !== null && mayUseModel(key, `${named.name}/${model}`))
  if (!isAllowed) {
    const message = `This key may not use the model \`${shown}\`. GET /v1/models lists what it may use; an admin can allow more.`
    return refused("model_not_allowed", message, "model not allowed")
  }
  const target = named === null ? plane.router.route(model) : { route: { provider: named, model }, account: null }
  if (target === null) return unrouted(plane, shown)
  const { route, account } = target
  if (pathAt(route.provider, call.door.api, call.door.path) === null) return wrongApi(call, route, shown)
  return { kind: "routed", route, account }
}

function unrouted(plane: DataPlane, shown: string): Refused {
  const names = [...plane.router.providers.keys()].join(", ")
  const message =
    `No provider is configured for the model \`${shown}\`. Configured: ${names || "none"}. ` +
    "GET /v1/models lists what this key may use; routes stand under `models:` in proxy.config.yaml."
  return refused("model_not_found", message, "model not found")
}

const OWN_PATHS = {
  openai: "POST /v1/chat/completions",
  anthropic: "POST /v1/messages",
  google: "POST /v1beta/models/{model}:generateContent",
  cohere: "POST /{provider}/v2/chat",
  bedrock: "POST /{provider}/model/{model}/converse",
  ollama: "POST /{provider}/api/chat",
  elevenlabs: "POST /{provider}/v1/text-to-speech/{voice}",
} as const

/** Calls are not translated: what an answer says is the provider's word, byte for byte. */
function wrongApi(call: Call, { provider }: Route, shown: string): Refused {
  const isCompatible = provider.dialect !== "openai" && pathAt(provider, "openai", "/chat/completions") !== null
  const ways = isCompatible ? " (or POST /v1/chat/completions, which it serves as well)" : ""
  const message =
    `The model \`${shown}\` is served by the provider \`${provider.name}\`, which has no ${call.door.path}. ` +
    `Call ${OWN_PATHS[provider.dialect].replace("{provider}", provider.name)}${call.door.api === "openai" ? ways : ""} for it.`
  return refused("wrong_api_for_model", message, "wrong api")
}

function refused(code: ErrorCode, message: string, reason: string): Refused {
  return { kind: "refused", error: new ApiError(code, message, { param: "model" }), reason }
}
