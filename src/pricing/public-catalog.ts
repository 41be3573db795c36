/**
 * A public JSON catalog of prices, from its text to prices in the words of our own files: LiteLLM's
 * `model_prices_and_context_window.json`, and models.dev's `api.json`. What an entry says that cannot be said here is
 * named, and an entry that would be wrong without it is not taken. A figure that is none refuses the whole catalog.
 */
import { isObject, parseExactJson } from "../platform/exact-json.ts"
import type { CatalogPrice, ReadEntry, Skipped } from "./catalog-entry.ts"
import { liteLlmEntry } from "./litellm-entry.ts"
import { modelsDevEntry } from "./models-dev-entry.ts"
import { readPeriod } from "./read-period.ts"

export type ReadCatalog =
  | {
      readonly kind: "read"
      readonly format: "litellm" | "models.dev"
      readonly prices: readonly CatalogPrice[]
      readonly skipped: readonly Skipped[]
    }
  /** `entry` is '' where it is the catalog as a whole. */
  | { readonly kind: "invalid"; readonly entry: string; readonly message: string }

/** Reads a catalog's text. Pure; nothing of it is compared with what there is. */
export function readPublicCatalog(text: string): ReadCatalog {
  let content: unknown
  try {
    content = parseExactJson(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return { kind: "invalid", entry: "", message: `the catalog is no JSON: ${error.message}` }
  }
  if (!isObject(content)) return { kind: "invalid", entry: "", message: "the catalog is no JSON object" }
  const entries = Object.entries(content)
  if (entries.some(([, value]) => isObject(value) && "litellm_provider" in value)) {
    const named = entries.map(([name, value]) => ({ name, read: () => liteLlmEntry(name, value) }))
    return readAll("litellm", named)
  }
  if (entries.some(([, value]) => isObject(value) && isObject(value.models))) {
    const named = entries.flatMap(([provider, value]) => {
      const models = isObject(value) && isObject(value.models) ? value.models : {}
      return Object.entries(models).map(([model, one]) => {
        return { name: `${provider}/${model}`, read: () => modelsDevEntry(provider, model, one) }
      })
    })
    return readAll("models.dev", named)
  }
  const message = "this is no catalog that is known here: neither LiteLLM's model prices nor models.dev's api.json"
  return { kind: "invalid", entry: "", message }
}

function readAll(
  format: "litellm" | "models.dev",
  entries: readonly { readonly name: string; readonly read: () => ReadEntry }[],
): ReadCatalog {
  const prices: CatalogPrice[] = []
  const skipped: Skipped[] = []
  for (const { name: entry, read } of entries) {
    const one = read()
    if (one.kind === "invalid") return { kind: "invalid", entry, message: one.message }
    if (one.kind === "skipped") skipped.push({ entry, reason: one.reason })
    else {
      const fault = faultOf(one.price)
      if (fault === null) prices.push({ entry, ...one.price })
      else skipped.push({ entry, reason: fault })
    }
  }
  return { kind: "read", format, prices, skipped }
}

/** What keeps a price from being one of ours, such as a figure that is finer than a pico-dollar; null for nothing. */
function faultOf({ model, price }: Omit<CatalogPrice, "entry">): string | null {
  if (!/^\S{1,200}$/.test(model)) return "its name is not of 1 to 200 characters without spaces"
  const read = readPeriod(price)
  if (read.kind === "read") return null
  const [{ path, message }] = read.issues
  return `${path.join(".") || "its price"}: not ${message}`
}
