/** Text from the environment has no type of its own; here it gets the one that the config asks for at its place. */
import { z } from "zod"
import { type KeyPath, schemaAt } from "./schema-paths.ts"

/** The text as a number or boolean where one belongs and the text reads as one; otherwise the text. */
export function readText(path: KeyPath, text: string): unknown {
  const schema = schemaAt(path)
  if (schema instanceof z.ZodNumber) return /^-?\d{1,15}$/.test(text) ? Number(text) : text
  const takesBoolean = schema instanceof z.ZodBoolean || (schema instanceof z.ZodLiteral && schema.values.has(true))
  if (takesBoolean && text === "true") return true
  if (takesBoolean && text === "false") return false
  return text
}
