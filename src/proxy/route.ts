/** Where a call goes: by its model or by its object, and only with references to objects that are its key's own. */
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import type { ProviderAccount, Route } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import { checkBatch } from "./check-batch.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"
import { accountFor } from "./route-account.ts"
import { routeModel } from "./route-model.ts"
import { checkReferences, referencesIn, routeObject } from "./route-object.ts"

export type RoutedCall = {
  readonly kind: "routed"
  readonly route: Route
  /** The account at the provider that it goes to. */
  readonly account: ProviderAccount
  /** The object that the path names; null where it names none. */
  readonly object: ProviderObject | null
}

/** What is settled before the account is. */
type Directed = {
  readonly kind: "routed"
  readonly route: Route
  /** The account that the route names; null where it names none. */
  readonly account: string | null
  readonly object: ProviderObject | null
}

/** At once for a call to a model without references, which nearly every call is. */
export function chooseRoute(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
): RoutedCall | Refused | Promise<RoutedCall | Refused> {
  if (call.endpoint.routedBy === "object") {
    return routeToObject(plane, call, key, asked)
  }
  const routed = routeModel(plane, call, key, asked.facts.model)
  return withReferences(plane, call, key, asked, routed.kind === "routed" ? { ...routed, object: null } : routed)
}

async function routeToObject(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
): Promise<RoutedCall | Refused> {
  const routed = await routeObject(plane, call, key)
  if (routed.kind !== "routed") return routed
  const batched = await checkBatch(plane, call, key, asked, routed.route.provider)
  return batched ?? withReferences(plane, call, key, asked, { ...routed, account: null })
}

function withReferences(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
  routed: Directed | Refused,
): RoutedCall | Refused | Promise<RoutedCall | Refused> {
  if (routed.kind !== "routed") return routed
  const { provider } = routed.route
  if (provider.credential === "caller" && call.callerCredential === null) return noCredential(provider.name)
  const ids = referencesIn(asked)
  if (ids.length === 0) return withAccount(key, routed, [])
  return checkReferences(plane, call, key, ids, provider).then((referenced) => {
    return referenced.kind === "refused" ? referenced : withAccount(key, routed, referenced.objects)
  })
}

function withAccount(
  key: VirtualKey,
  { route, account: named, object }: Directed,
  referenced: readonly ProviderObject[],
): RoutedCall | Refused {
  const objects = object === null ? referenced : [object, ...referenced]
  const chosen = accountFor(route.provider, key, { named, objects })
  return chosen.kind === "refused" ? chosen : { kind: "routed", route, account: chosen.account, object }
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
