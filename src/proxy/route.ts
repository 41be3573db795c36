/** Where a call goes: by its model or by its object, and only with references to objects that are its key's own. */
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Route } from "../providers/router.ts"
import type { Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"
import { type Refused, routeModel } from "./route-model.ts"
import { checkReferences, routeObject } from "./route-object.ts"

export type RoutedCall = {
  readonly kind: "routed"
  readonly route: Route
  /** The object that the path names; null where it names none. */
  readonly object: ProviderObject | null
}

export async function chooseRoute(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
): Promise<RoutedCall | Refused> {
  const routed =
    call.endpoint.routedBy === "model"
      ? routeModel(plane, call, key, asked.facts.model)
      : await routeObject(plane, call, key)
  if (routed.kind !== "routed") return routed
  const { provider } = routed.route
  if (provider.credential === "caller" && call.callerCredential === null) return noCredential(provider.name)
  const foreign = await checkReferences(plane, call, key, asked, provider)
  return foreign ?? { object: null, ...routed }
}

function noCredential(providerName: string): Refused {
  const message =
    `The provider \`${providerName}\` takes your own credential: send it as you would to the provider itself, and your ` +
    "virtual key in `x-tallygate-key`."
  return {
    kind: "refused",
    error: new ApiError("provider_credential_missing", message),
    reason: "no provider credential",
  }
}
