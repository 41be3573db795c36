/**
 * Questions about the schema itself: what stands at a path, which keys are known there, and which known key a
 * mistyped one was probably meant to be.
 */
import { z } from "zod"
import { configSchema } from "./schema.ts"

/** Steps into the config: keys of mappings and indexes of lists. */
export type KeyPath = readonly (string | number)[]

/** A schema without the layers that only say what happens when the value is absent. */
function bare(schema: unknown): unknown {
  let inner = schema
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap()
  }
  return inner
}

/** What the config holds at this path, or undefined where the path leads through an unknown key. */
export function schemaAt(path: KeyPath): unknown {
  let schema = bare(configSchema)
  for (const step of path) {
    if (schema instanceof z.ZodObject) schema = bare(Object.hasOwn(schema.shape, step) ? schema.shape[step] : undefined)
    else if (schema instanceof z.ZodRecord) schema = bare(schema.valueType)
    else if (schema instanceof z.ZodArray) schema = bare(schema.element)
    else return undefined
  }
  return schema
}

/** Whether the path holds keys or items rather than a single value. */
export function isContainer(path: KeyPath): boolean {
  const schema = schemaAt(path)
  return schema instanceof z.ZodObject || schema instanceof z.ZodRecord || schema instanceof z.ZodArray
}

/** The keys that may stand at this path, in the order of the documentation; none where any key may. */
export function knownKeys(path: KeyPath): readonly string[] {
  const schema = schemaAt(path)
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
}

export type DocumentedKey = { readonly path: string; readonly description: string | undefined }

/** Every key of the config: `listen.port`, `providers.*.base_url`, `models[].match`; each with its sentence. */
export function documentedKeys(): readonly DocumentedKey[] {
  return keysBelow(configSchema, "")
}

function keysBelow(schema: unknown, prefix: string): DocumentedKey[] {
  const inner = bare(schema)
  if (inner instanceof z.ZodRecord) {
    return bare(inner.valueType) instanceof z.ZodObject ? keysBelow(inner.valueType, `${prefix}.*`) : []
  }
  if (inner instanceof z.ZodArray) return keysBelow(inner.element, `${prefix}[]`)
  if (!(inner instanceof z.ZodObject)) return []
  return Object.entries(inner.shape).flatMap(([key, child]) => {
    const path = prefix === "" ? key : `${prefix}.${key}`
    return [{ path, description: descriptionOf(child) }, ...keysBelow(child, path)]
  })
}

/** The sentence may stand on the schema or, where several keys share one, below its default. */
function descriptionOf(schema: unknown): string | undefined {
  const inner = bare(schema)
  const outer = schema instanceof z.ZodType ? schema.description : undefined
  return outer ?? (inner instanceof z.ZodType ? inner.description : undefined)
}

/**
 * What to write instead of an unknown key: the known key nearest in spelling, else a key of that name elsewhere in the
 * config, else the list of what is known here.
 */
export function suggestKey(path: KeyPath, unknown: string): string {
  const known = knownKeys(path)
  const near = nearest(unknown, known)
  if (near !== null) return `the key ${near}`
  const elsewhere = documentedKeys().find((key) => key.path.endsWith(`.${unknown}`))
  if (elsewhere !== undefined) return `the key ${elsewhere.path}`
  return `one of ${known.join(", ")}`
}

/** The candidate with the smallest edit distance, if it is near enough to be a slip: at most a third of the letters. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    // "url" for "base_url" is far in letters and near in meaning.
    const isPart = word.length >= 3 && candidate.split("_").includes(word.toLowerCase())
    const distance = isPart ? 1 : editDistance(word.toLowerCase().replaceAll("-", "_"), candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions and replacements between two words (Levenshtein); long words are cut, they are no slips. */
function editDistance(a: string, b: string): number {
  const left = a.slice(0, 64)
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (left[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
