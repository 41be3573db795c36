/**
 * The tools of a request as the text that a model is given of them. OpenAI's models read functions as TypeScript, which
 * others have found by comparing prompts with their reported tokens; what is known of other models' forms does not allow
 * more than counting the JSON, which is a little too much.
 */

/** Beside the text of a list of functions, and less where a system message opens the prompt anyway. */
const OPENAI_TOOLS_TOKENS = 9
const OPENAI_SYSTEM_SAVES = 4
/** Reasoning models are told about their channels too; measured on GPT-5. */
const REASONING_TOOLS_TOKENS = 82
/** Anthropic's own system prompt for tools; its documentation, "Tool use", pricing. */
const CLAUDE_TOOLS_TOKENS = 346
const NESTING_MAX = 32

export type ToolText = { readonly text: string; readonly extraTokens: number }

/** What tools cost a model of the family: a text to count, and tokens beside it. */
export function toolText(tools: readonly unknown[], family: string, hasSystem: boolean): ToolText {
  if (tools.length === 0) return { text: "", extraTokens: 0 }
  if (!family.startsWith("openai") && family !== "sandbox") {
    return { text: JSON.stringify(tools), extraTokens: family.startsWith("claude") ? CLAUDE_TOOLS_TOKENS : 0 }
  }
  const functions = tools.map(functionOf)
  const others = tools.filter((_, index) => functions[index] === null)
  const rest = others.length === 0 ? "" : JSON.stringify(others)
  const known = functions.filter((one) => one !== null)
  const extra = OPENAI_TOOLS_TOKENS - (hasSystem ? OPENAI_SYSTEM_SAVES : 0)
  return {
    text: `namespace functions {\n\n${known.map(signature).join("")}} // namespace functions${rest}`,
    extraTokens: extra + (family === "openai-reasoning" ? REASONING_TOOLS_TOKENS : 0),
  }
}

type Declared = { readonly name: string; readonly description: string; readonly schema: Schema }
type Schema = Readonly<Record<string, unknown>>

/** Chat completions wrap a function, the Responses API and the older `functions` do not. */
function functionOf(tool: unknown): Declared | null {
  const outer = isSchema(tool) ? tool : {}
  const declared = isSchema(outer.function) ? outer.function : outer
  if (typeof declared.name !== "string") return null
  const schema = isSchema(declared.parameters) ? declared.parameters : {}
  return { name: declared.name, description: textOf(declared.description), schema }
}

function signature({ name, description, schema }: Declared): string {
  const members = membersOf(schema, 0)
  const taken = members === "" ? "()" : `(_: {\n${members}})`
  return `${commentOf(description)}type ${name} = ${taken} => any;\n\n`
}

function membersOf(schema: Schema, depth: number): string {
  if (!isSchema(schema.properties) || depth > NESTING_MAX) return ""
  const required = Array.isArray(schema.required) ? schema.required : []
  return Object.entries(schema.properties)
    .map(([name, value]) => {
      const member = isSchema(value) ? value : {}
      const mark = required.includes(name) ? "" : "?"
      return `${commentOf(textOf(member.description))}${name}${mark}: ${typeOf(member, depth + 1)},\n`
    })
    .join("")
}

function typeOf(schema: Schema, depth: number): string {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(" | ")
  const alternatives = schema.anyOf ?? schema.oneOf
  if (Array.isArray(alternatives) && depth <= NESTING_MAX) {
    return alternatives.map((one) => typeOf(isSchema(one) ? one : {}, depth + 1)).join(" | ")
  }
  if (schema.type === "array") return `${isSchema(schema.items) ? typeOf(schema.items, depth + 1) : "any"}[]`
  if (schema.type === "object") return `{\n${membersOf(schema, depth)}}`
  if (schema.type === "integer") return "number"
  return textOf(schema.type) || "any"
}

function commentOf(description: string): string {
  return description === "" ? "" : `// ${description}\n`
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : ""
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
