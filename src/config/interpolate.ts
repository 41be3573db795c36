/**
 * `${NAME}` and `${NAME:-default}` in the values of the config file; `$${` stands for a literal `${`. As in a shell, a
 * default also replaces a variable that is empty. Values that come out are never interpolated again.
 */

export type Environment = { readonly [name: string]: string | undefined }

export type Interpolated =
  /** `written` is the text with its references and without their defaults: fit to be shown; null if there were none. */
  | { readonly kind: "text"; readonly text: string; readonly written: string | null }
  | { readonly kind: "unset"; readonly name: string }
  | { readonly kind: "malformed" }

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g
const REFERENCE_BODY = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s

export function interpolate(text: string, env: Environment): Interpolated {
  let unset: string | null = null
  let isMalformed = false
  let hasReference = false
  let written = ""
  let writtenTo = 0
  const result = text.replace(REFERENCE, (whole: string, body: string | undefined, close: string, at: number) => {
    if (body === undefined) return "${"
    hasReference = true
    const [, name, fallback] = REFERENCE_BODY.exec(body) ?? []
    if (name === undefined || close === "") {
      isMalformed = true
      return ""
    }
    written += `${text.slice(writtenTo, at)}\${${name}}`
    writtenTo = at + whole.length
    const value = env[name]
    if (fallback !== undefined) return value === undefined || value === "" ? fallback : value
    if (value === undefined) unset ??= name
    return value ?? ""
  })
  if (isMalformed) return { kind: "malformed" }
  if (unset !== null) return { kind: "unset", name: unset }
  return { kind: "text", text: result, written: hasReference ? written + text.slice(writtenTo) : null }
}

/**
 * YAML reads the braces of an unquoted `{ api_key: ${KEY} }` as a mapping within the mapping. While YAML is parsed, the
 * characters that mean something to it are therefore replaced, within references only, by private-use ones of the same
 * length, which leaves every line and column where it was.
 */
export function maskReferences(source: string): string {
  return source.replace(/\$\{[^}"'\n]*\}/g, (reference) =>
    reference.replace(/[{}[\],:#&*!|>%@]/g, (char) => String.fromCharCode(MASK_BASE + char.charCodeAt(0))),
  )
}

/** Gives a parsed value back the characters that `maskReferences` replaced. */
export function unmaskReferences(value: string): string {
  return value.replace(MASKED_REFERENCE, (reference) =>
    reference.replace(/[\uF700-\uF77F]/g, (char) => String.fromCharCode(char.charCodeAt(0) - MASK_BASE)),
  )
}

const MASK_BASE = 0xf700
const MASKED_REFERENCE = /\$\uF77B[^\uF77D]*\uF77D/g
