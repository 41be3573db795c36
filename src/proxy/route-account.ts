/**
 * Which account at its provider a call goes to: the one that has the objects it names, else the one that its route names,
 * else its key's own. An account that is not there is never replaced by another one, which would not know the objects.
 */
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError } from "../platform/error-table.ts"
import { chooseAccount } from "../providers/account-choice.ts"
import type { Provider, ProviderAccount } from "../providers/router.ts"
import type { Refused } from "./call.ts"

export type ChosenAccount = { readonly kind: "chosen"; readonly account: ProviderAccount }

export function accountFor(
  { name, accounts, credential }: Provider,
  key: VirtualKey,
  wanted: {
    /** The account that the route names; null where it names none. */
    readonly named: string | null
    /** Those that the call names. */
    readonly objects: readonly ProviderObject[]
  },
): ChosenAccount | Refused {
  const [first] = accounts
  if (first === undefined) return unavailable(`The provider \`${name}\` has no account that can be used at the moment.`)
  // The callers' accounts are not ours to tell apart.
  if (credential === "caller") return { kind: "chosen", account: first }
  const { named, objects } = wanted
  if (named === null && objects.length === 0) {
    return { kind: "chosen", account: chooseAccount(accounts, key.id) ?? first }
  }
  const names = new Set(objects.map(({ account }) => account || first.name))
  if (names.size > 1) return refuseSeveral(names)
  const [needed = named] = names
  const account = accounts.find((one) => one.name === needed)
  if (account !== undefined) return { kind: "chosen", account }
  const whose = names.size === 0 ? "This model's calls go to" : "The object that this call names belongs to"
  return unavailable(`${whose} the account \`${name}/${needed}\`, which cannot be used at the moment.`)
}

function unavailable(message: string): Refused {
  const text = `${message} Nothing was forwarded or charged. Ask an admin to look at the provider's accounts.`
  const error = new ApiError("provider_account_unavailable", text, { headers: [["retry-after", "30"]] })
  return { kind: "refused", error, reason: "no provider account" }
}

function refuseSeveral(names: ReadonlySet<string>): Refused {
  const message =
    `This request names objects of several accounts at the provider (${[...names].sort().join(", ")}), and one call ` +
    "reaches one account. Make them again with the same key."
  return { kind: "refused", error: new ApiError("invalid_request", message), reason: "several accounts" }
}
