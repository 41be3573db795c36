/** A row of the endpoint table: what is known of one call of an API. */
import type { ProviderObjectKind } from "../identity/provider-object.ts"
import type { Api, Dialect } from "./dialect.ts"

export type ObjectUse = {
  readonly kind: ProviderObjectKind
  /** `create`: the answer's id is a new object's. `use` and `delete`: the path names one. `list`: the answer lists some. */
  readonly act: "create" | "use" | "delete" | "list"
  /** Reads usage that the provider reports only now, for the object that the path names; null where it never does. */
  readonly laterUsage: Dialect | null
}

export type Endpoint<A extends Api = Api> = {
  /** Name on the usage record and in a key's `allowed_endpoints`. */
  readonly name: string
  readonly api: A
  /** `*` takes any. */
  readonly method: string
  /** `{id}` stands for one segment, `{model}` for the model's name, `{any}` for what does not matter, a last `*` for one or more. */
  readonly path: string
  readonly dialect: Dialect
  /** What decides which provider is asked: the model that the request names, or the object that it names. */
  readonly routedBy: "model" | "object"
  readonly object: ObjectUse | null
  /** False where nobody here can tell what a call costs. */
  readonly isMetered: boolean
}

/** A call to a model. */
export function modelCall<A extends Api>(
  api: A,
  name: string,
  path: string,
  dialect: Dialect,
  creates: ProviderObjectKind | null = null,
): Endpoint<A> {
  const object = creates === null ? null : ({ kind: creates, act: "create", laterUsage: null } as const)
  return { name, api, method: "POST", path, dialect, routedBy: "model", object, isMetered: true }
}
