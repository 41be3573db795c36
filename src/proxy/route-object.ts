/**
 * Where a call goes that makes, uses or lists objects of a provider, and whether the objects that it names, in its path
 * or in its body, are this key's. What is not is answered as the provider answers for an object that does not exist.
 */
import { mayReach, type ProviderObject, type ProviderObjectKind } from "../identity/provider-object.ts"
import { NotEntered } from "../identity/provider-objects.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import { isMultipart, readMultipart } from "../providers/multipart-form.ts"
import { kindOf, missingObject } from "../providers/object-missing.ts"
import { type References, referencedInFields, referencedObjects } from "../providers/object-references.ts"
import type { Provider, ProviderAccount, Route } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

export type RoutedToObject = {
  readonly kind: "routed"
  readonly route: Route
  readonly object: ProviderObject | null
}

/** What is known of the objects that a body refers to; those that nobody made here are not among them. */
export type Referenced = { readonly kind: "referenced"; readonly objects: readonly ProviderObject[] }

/** By the object that the path names, to the provider that has it; else to the one that the path names, or the API's first. */
export async function routeObject(plane: DataPlane, call: Call, key: VirtualKey): Promise<RoutedToObject | Refused> {
  const { door } = call
  const candidates = door.provider === null ? plane.router.providersOf(door.api) : [door.provider]
  const first = candidates[0]
  if (first === undefined) return noProvider(call)
  const id = door.match?.objectId ?? null
  if (id === null) return routedTo(first, null)
  const kind = call.endpoint.object?.kind ?? null
  return orUnavailable(async () => {
    for (const provider of candidates) {
      const object = (await plane.objects.find(provider.name, [id])).get(id)
      if (object === undefined) continue
      return mayReach(object, key, plane.objectPolicy.sharedBy) ? routedTo(provider, object) : missing(call, kind, id)
    }
    return isAdoptable(plane, call, key, first, id) ? routedTo(first, null) : missing(call, kind, id)
  })
}

/** The objects that a body refers to, where every one of them is this key's. */
export async function checkReferences(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  ids: References,
  provider: Provider,
): Promise<Referenced | Refused> {
  if (ids === "too many") {
    const message = "The request body refers to more than 1,000 files or other objects. Send fewer in one call."
    return { kind: "refused", error: new ApiError("invalid_request", message), reason: "bad request" }
  }
  return orUnavailable(async () => {
    const found = await plane.objects.find(provider.name, ids)
    for (const id of ids) {
      const object = found.get(id)
      if (object === undefined && isAdoptable(plane, call, key, provider, id)) continue
      if (object === undefined || !mayReach(object, key, plane.objectPolicy.sharedBy)) return missing(call, null, id)
    }
    return { kind: "referenced", objects: [...found.values()] }
  })
}

/** Whether an object that no key has made here may become this key's. It does when the provider has answered for it. */
function isAdoptable(plane: DataPlane, call: Call, key: VirtualKey, provider: Provider, id: string): boolean {
  if (!plane.objectPolicy.adoptsUnknown) return false
  const kind = call.door.match?.objectId === id ? call.endpoint.object?.kind : undefined
  // Which account has it is known once one has answered for it.
  const at = { provider, account: null }
  call.unowned.push({ ...newObject(call, key, at, kind ?? kindOf(id), id), callId: null })
  return true
}

/** The ids of objects that a request refers to, in JSON or in a form. */
export function referencesIn({ body, form }: Asked): References {
  if (!isMultipart(form.contentType)) return referencedObjects(body)
  return referencedInFields(readMultipart(body, form.contentType)?.fields ?? [])
}

/** An object as it is entered for the key of this call. */
export function newObject(
  call: Call,
  key: VirtualKey,
  { provider, account }: { readonly provider: Provider; readonly account: ProviderAccount | null },
  kind: ProviderObjectKind,
  id: string,
  booking: unknown = null,
): ProviderObject {
  return {
    provider: provider.name,
    account: account?.name ?? "",
    id,
    kind,
    organizationId: key.organizationId,
    projectId: key.projectId,
    keyId: key.id,
    callId: call.id,
    booking,
    bookedAtMs: null,
  }
}

function routedTo(provider: Provider, object: ProviderObject | null): RoutedToObject {
  return { kind: "routed", route: { provider, model: "" }, object }
}

function missing(call: Call, kind: ProviderObjectKind | null, id: string): Refused {
  const { status, body } = missingObject(call.door.api, kind, id)
  const code = status === 403 ? "object_not_permitted" : "object_not_found"
  return { kind: "refused", error: new ApiError(code, "No such object.", { body }), reason: "no such object" }
}

function noProvider({ door }: Call): Refused {
  const message =
    `No provider with the ${door.api} API is configured, so there is none for ${door.path.slice(0, 100)}. ` +
    "Providers stand under `providers:` in proxy.config.yaml."
  return { kind: "refused", error: new ApiError("provider_not_configured", message), reason: "no provider" }
}

/** Whose an object is cannot be told while Postgres is away: nothing is let through on a guess. */
async function orUnavailable<T>(ask: () => Promise<T>): Promise<T | Refused> {
  try {
    return await ask()
  } catch (cause) {
    // A fault of ours is not Postgres's.
    if (cause instanceof TypeError) throw cause
    const message = "Whose object this is cannot be looked up at the moment. Nothing was forwarded; please try again."
    const headers = [["retry-after", "2"]] as const
    const error = new ApiError("object_store_unavailable", message, { headers, cause })
    return { kind: "refused", error, reason: cause instanceof NotEntered ? "objects full" : "objects unavailable" }
  }
}
