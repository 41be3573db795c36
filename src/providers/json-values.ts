/** Reads values of unknown shape out of JSON that a caller or a provider sent. Nothing here throws. */

export function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function asText(value: unknown): string {
  return typeof value === "string" ? value : ""
}

/**
 * A token count as providers write it: a whole number, sometimes as a float or a string. Null where it is none; some
 * servers write -1 for what they do not know.
 */
export function count(value: unknown): number | null {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value
  if (typeof number !== "number" || !Number.isFinite(number) || number < 0) return null
  // A -0 becomes 0.
  return Math.min(Math.round(number), Number.MAX_SAFE_INTEGER) + 0
}

export type Parsed =
  | { readonly kind: "parsed"; readonly value: unknown }
  | { readonly kind: "broken"; readonly message: string }

export function parseJson(text: string): Parsed {
  try {
    return { kind: "parsed", value: JSON.parse(text) }
  } catch (error) {
    return { kind: "broken", message: error instanceof Error ? error.message : String(error) }
  }
}

/** The object that the text is; null where it is broken or something else. */
export function parsedObject(text: string): Record<string, unknown> | null {
  const parsed = parseJson(text)
  return parsed.kind === "parsed" ? asObject(parsed.value) : null
}
