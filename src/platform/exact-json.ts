/** JSON whose numbers stay what they were written as: `1.5e-07` never becomes a float, and no digit is lost. */

/** Every number as its own text; the rest as `JSON.parse` has it. @throws SyntaxError where the text is no JSON */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_key: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" ? (context?.source ?? String(value)) : value,
  )
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/

/**
 * The plain decimal of a JSON number with its point moved: `1.5e-07` moved by 6 is `0.15`. Exact, however long it gets;
 * null for what is no number.
 */
export function movedPoint(text: string, places: number): string | null {
  const [, sign = "", whole, fraction = "", exponent = "0"] = NUMBER.exec(text) ?? []
  if (whole === undefined) return null
  const digits = whole + fraction
  const point = whole.length + Number(exponent) + places
  const before = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0"
  const after = (point > 0 ? digits.slice(point) : "0".repeat(-point) + digits).replace(/0+$/, "")
  const integer = before.replace(/^0+(?=\d)/, "")
  return `${sign}${integer}${after === "" ? "" : `.${after}`}`
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
