/**
 * The OpenAPI description as pages for people read it: its routes by section, and the members of a schema as rows. Pure.
 * `/docs` and docs/api.md are made of it.
 */

export type Schema = {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly default?: unknown
  readonly additionalProperties?: Schema | boolean
}
type Content = Readonly<Record<string, { readonly schema?: Schema }>>
export type Operation = {
  readonly parameters?: readonly {
    name: string
    in: string
    required?: boolean
    description?: string
    schema?: Schema
  }[]
  readonly requestBody?: { readonly content?: Content }
  readonly responses?: Readonly<Record<string, { readonly description?: string; readonly content?: Content }>>
}
export type ApiDescription = {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}
export type ApiRoute = { readonly path: string; readonly method: string; readonly operation: Operation }
export type Row = { readonly name: string; readonly type: string; readonly note: string; readonly depth: number }

const DEPTH_MAX = 3

/** The routes in the order of their sections, each with its method in capitals. */
export function routesBySection(api: ApiDescription): [title: string, routes: ApiRoute[]][] {
  const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  return [...Map.groupBy(routes, ({ path }) => sectionOf(path))].sort(([one], [other]) => placeOf(one) - placeOf(other))
}

/** The members of an object, those of objects within it below them. */
export function rowsOf(api: ApiDescription, given: Schema | undefined, depth: number): Row[] {
  const schema = withMembers(api, given)
  if (schema?.properties === undefined || depth > DEPTH_MAX) return []
  const required = new Set(schema.required)
  return Object.entries(schema.properties).flatMap(([name, member]) => [
    {
      name,
      type: `${typeOf(api, member)}${required.has(name) ? "" : ", optional"}`,
      note: note(resolved(api, member)),
      depth,
    },
    ...rowsOf(api, member, depth + 1),
  ])
}

/** The object that a schema is, holds as an array's items or as one of several, or is put together of. */
export function withMembers(api: ApiDescription, given: Schema | undefined): Schema | undefined {
  const schema = resolved(api, given)
  if (schema === undefined || schema.properties !== undefined) return schema
  if (schema.items !== undefined) return withMembers(api, schema.items)
  if (schema.allOf !== undefined) return joined(schema.allOf.flatMap((one) => withMembers(api, one) ?? []))
  const several = schema.anyOf ?? schema.oneOf
  return several?.map((one) => withMembers(api, one)).find((one) => one?.properties !== undefined)
}

function joined(parts: readonly Schema[]): Schema | undefined {
  const properties = Object.assign({}, ...parts.map((part) => part.properties)) as Record<string, Schema>
  if (Object.keys(properties).length === 0) return undefined
  return { properties, required: parts.flatMap(({ required = [] }) => required) }
}

export function resolved(api: ApiDescription, schema: Schema | undefined): Schema | undefined {
  const name = schema?.$ref?.split("/").at(-1)
  return name === undefined ? schema : api.components?.schemas?.[name]
}

export function typeOf(api: ApiDescription, given: Schema | undefined): string {
  const schema = resolved(api, given)
  if (schema === undefined) return "anything"
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ")
  const several = schema.anyOf ?? schema.oneOf
  if (several !== undefined) return [...new Set(several.map((one) => typeOf(api, one)))].join(" | ")
  if (schema.items !== undefined) return `array of ${typeOf(api, schema.items)}`
  return schema.type === undefined ? "anything" : [schema.type].flat().join(" | ")
}

export function note(schema: Schema | undefined, description = schema?.description): string {
  const preset =
    schema?.default === undefined || schema.default === "" ? "" : ` Default: ${JSON.stringify(schema.default)}.`
  return `${description ?? ""}${preset}`.trim()
}

/** Sections in their order, and what the paths of each look like. Of those that a path fits, the last is its own. */
const SECTIONS: readonly (readonly [title: string, path: RegExp])[] = [
  ["Organizations", /^\/admin\/v1\/organizations/],
  ["Projects", /^\/admin\/v1\/projects/],
  ["Users", /^\/admin\/v1\/users/],
  ["Service accounts", /^\/admin\/v1\/service-accounts/],
  ["Virtual keys", /^\/admin\/v1\/keys/],
  ["Providers", /^\/admin\/v1\/providers/],
  ["Limits", /^\/admin\/v1\/(?:limits|holds)/],
  ["Budgets", /\/budgets?(?:\/|$)/],
  ["Usage", /^\/admin\/v1\/usage/],
  ["Alerts", /^\/admin\/v1\/alert/],
  ["Digests", /^\/admin\/v1\/digests/],
  ["Admin keys", /^\/admin\/v1\/admin-keys/],
  ["Audit log", /^\/admin\/v1\/audit/],
  ["Log-in", /^\/auth\//],
  ["Key holders", /^\/v1\/(?:keys?|usage)/],
  ["OpenAI's usage API", /^\/v1\/organization\//],
]
const OTHER_SECTION = "Other"

function sectionOf(path: string): string {
  return SECTIONS.findLast(([, pattern]) => pattern.test(path))?.[0] ?? OTHER_SECTION
}

function placeOf(section: string): number {
  const place = SECTIONS.findIndex(([title]) => title === section)
  return place < 0 ? SECTIONS.length : place
}
