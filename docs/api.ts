/**
 * Makes docs/api.md of what the routes declare, which is what `/openapi.json` says as well: `npm run api`. A test fails
 * while the page is not what this makes.
 */
import { readFileSync, writeFileSync } from "node:fs"
import path from "node:path"
import { permissionOf } from "../src/admin/access.ts"
import { type AdminApp, type AdminOptions, adminApp } from "../src/admin/admin-app.ts"
import {
  type ApiDescription,
  type ApiRoute,
  note,
  type Operation,
  resolved,
  routesBySection,
  rowsOf,
  type Schema,
  typeOf,
} from "../src/admin/api-description.ts"
import { openApiDocument } from "../src/admin/openapi.ts"
import { ROLES, roleMay } from "../src/identity/role.ts"
import { ERROR_TABLE } from "../src/platform/error-table.ts"
import { FILTER_SHAPE } from "../src/reporting/question.ts"
import { EXAMPLES, IDS, RECORD_ID, SCHEMA_SAMPLES, VALUES } from "./api-examples.ts"

export const API_PAGE = path.join(import.meta.dirname, "api.md")
export const BASE_URL = "http://127.0.0.1:8787"
/** Runs every example of the page. */
const TEST = "test/admin/api-page.test.ts"

/** What every route may answer, explained once at the top. */
const SHARED_ERRORS = new Set(["400", "401", "403", "404", "409"])
const FILTERS = Object.keys(FILTER_SHAPE)
const WIDTH_MAX = 110
const SAMPLE_DEPTH_MAX = 8

/** The whole page. */
export function apiPage(): string {
  const app = declaredRoutes()
  // The library's types are wider than what it makes of our routes.
  const api = app.getOpenAPI31Document(openApiDocument("")) as unknown as ApiDescription
  const page: Page = { api, permissions: permissionsOf(app), told: new Map() }
  const sections = routesBySection(api).map(([title, routes]) => [title, inOrder(routes)] as const)
  const toc = sections.map(([title, routes]) => `- [${title}](#${anchorOf(title)}): ${routes.length}`)
  return [
    HEAD,
    errorTable(),
    `## Routes\n\n${toc.join("\n")}`,
    ...sections.flatMap(([title, routes]) => [
      `## ${title}\n\n${overview(routes)}`,
      ...routes.map((route) => routeText(page, route)),
    ]),
  ]
    .join("\n\n")
    .concat("\n")
}

type Page = {
  readonly api: ApiDescription
  readonly permissions: ReadonlyMap<string, string>
  /** Where the members of a schema, and the parameters of a route, were told first. */
  readonly told: Map<string, string>
}

/** The routes alone: they are declared without anything being asked of the app's parts, which calls would do. */
function declaredRoutes(): AdminApp {
  const parts = { login: {}, counters: {}, reports: {}, alerts: {}, providers: {} }
  return adminApp(parts as unknown as AdminOptions)
}

function permissionsOf(app: AdminApp): Map<string, string> {
  const found = new Map<string, string>()
  for (const { method, path: pattern, handler } of app.routes) {
    const permission = permissionOf(handler)
    if (permission !== null) found.set(`${method} ${pattern.replace(/:(\w+)/g, "{$1}")}`, permission)
  }
  return found
}

const HEAD = `# The API

<!-- all run: ${TEST} -->

Made by docs/api.ts of what the routes declare (\`npm run api\`); a running Tallygate has the same at \`/docs\` to browse and at
\`/openapi.json\` for programs. Calls to models are in [doors.md](doors.md), reports of usage are explained in
[integration.md](integration.md), who may do what in [access.md](access.md).

- **Credentials**: \`Authorization: Bearer\` with an admin key (\`tga_…\`) for \`/admin/v1\`, with a virtual key (\`tg_…\`) for \`/v1\`.
  A session's cookie does as well. In the examples, \`$ADMIN_KEY\` and \`$KEY\` are yours.
- **Values**: money is a decimal string in dollars, instants are ISO 8601, ids are opaque. A field that is not known is refused.
- **Lists** are pages: ask again with \`after\` set to \`next\` until it is null.
- **Errors** have OpenAI's shape, \`{ "error": { "message", "type", "param", "code" } }\`. \`code\` is stable, the sentence may change.
  400: a field is wrong or unknown; 401: no valid key or session; 403: the caller's role does not include this; 404: no such thing,
  as far as the role reaches; 409: it would collide with what is there. A route names what it may answer beside these.

Each example below is sent to a running Tallygate by \`${TEST}\`; what it answers has the members that are shown here.`

function errorTable(): string {
  const byStatus = Map.groupBy(Object.entries(ERROR_TABLE), ([, { status }]) => status)
  const rows = [...byStatus]
    .sort(([one], [other]) => one - other)
    .map(([status, codes]) => `| ${status} | ${codes.map(([code]) => `\`${code}\``).join(", ")} |`)
  return `## Error codes\n\n| status | codes |\n|---|---|\n${rows.join("\n")}`
}

/** As they are declared, and what ends a thing behind all that is done with it. */
function inOrder(routes: readonly ApiRoute[]): ApiRoute[] {
  const isEnd = ({ method, path: pattern }: ApiRoute) =>
    /\/(revoke|erase|logout)$/.test(pattern) || (method === "DELETE" && /\{\w+\}$/.test(pattern))
  return [...routes.filter((route) => !isEnd(route)), ...routes.filter(isEnd)]
}

function overview(routes: readonly ApiRoute[]): string {
  const rows = routes.map(
    (route) => `| [\`${nameOf(route)}\`](#${anchorOf(nameOf(route))}) | ${successOf(route).text} |`,
  )
  return `| route | answers |\n|---|---|\n${rows.join("\n")}`
}

function nameOf({ method, path: pattern }: ApiRoute): string {
  return `${method} ${pattern}`
}

/** As GitHub makes it of a heading. */
function anchorOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\w\s-]/g, "")
    .replaceAll(" ", "-")
}

type Success = {
  readonly status: string
  readonly text: string
  readonly type: string
  readonly schema: Schema | undefined
}

/** What it answers where all is well; of several, the one that says that something was made. */
function successOf({ operation }: ApiRoute): Success {
  const found = Object.entries(operation.responses ?? {}).filter(([status]) => status.startsWith("2"))
  const [status = "", answer] = found.toSorted(([one], [other]) => Number(other) - Number(one))[0] ?? []
  const [type = "", content] = Object.entries(answer?.content ?? {})[0] ?? []
  return { status, text: answer?.description ?? "", type, schema: content?.schema }
}

function routeText(page: Page, route: ApiRoute): string {
  const { operation } = route
  const parts = [
    `### \`${nameOf(route)}\``,
    `${successOf(route).text} ${whoMay(page, route)}`,
    parameters(page, route),
    body(page, route),
    exampleRequest(route),
    exampleAnswer(page, route),
    errors(operation),
  ]
  return parts.filter((part) => part !== "").join("\n\n")
}

function whoMay({ permissions }: Page, route: ApiRoute): string {
  const permission = permissions.get(nameOf(route))
  if (permission !== undefined) {
    const roles = ROLES.filter((role) => roleMay(role, permission as Parameters<typeof roleMay>[1]))
    return `**Who**: \`${permission}\` (${roles.join(", ")}).`
  }
  if (route.path.startsWith("/v1/")) return "**Who**: the holder of a virtual key, or a session."
  const isOpen = /^\/auth\/(methods|login)$/.test(route.path)
  return isOpen ? "**Who**: anybody." : "**Who**: a session."
}

function parameters({ api, told }: Page, { operation, ...route }: ApiRoute): string {
  // Those of the path explain themselves.
  const all = (operation.parameters ?? []).filter(({ in: where }) => where === "query")
  if (all.length === 0) return ""
  const hasFilters = FILTERS.every((name) => all.some((one) => one.name === name))
  const first = told.get("filters")
  if (hasFilters && first === undefined) told.set("filters", anchorOf(nameOf({ ...route, operation })))
  const isTold = hasFilters && first !== undefined
  // What is alike is told once.
  const alike = Map.groupBy(
    all.filter(({ name }) => !isTold || !FILTERS.includes(name)),
    ({ required, description, schema }) =>
      row(`${typeOf(api, schema)}${required === true ? "" : ", optional"}`, note(schema, description)),
  )
  const rows = [...alike].map(([cells, named]) => `| ${named.map(({ name }) => `\`${name}\``).join(", ")} ${cells}`)
  const table = rows.length === 0 ? "" : `| in the query | type | meaning |\n|---|---|---|\n${rows.join("\n")}`
  const filters = isTold ? `The filters are [those of the summary](#${first}).` : ""
  return [table, filters].filter((part) => part !== "").join("\n\n")
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`
}

function body({ api, told }: Page, route: ApiRoute): string {
  const content = route.operation.requestBody?.content ?? {}
  const schema = content["application/json"]?.schema
  if (schema === undefined) return ""
  const name = (schema.$ref ?? schema.oneOf?.[0]?.$ref)?.split("/").at(-1)
  const isBatch = schema.oneOf !== undefined
  const batch = isBatch ? ' Several are `{ "records": [ … ] }`.' : ""
  const types = Object.keys(content).length > 1 ? ` Also as ${Object.keys(content).slice(1).join(", ")}.` : ""
  const about = `${resolved(api, schema)?.description ?? ""}${batch}${types}`.trim()
  const first = name === undefined ? undefined : told.get(name)
  if (first !== undefined) return `**Body**: the fields are [those of ${first}](#${anchorOf(first)}).${batch}`
  if (name !== undefined) told.set(name, nameOf(route))
  const rows = rowsOf(api, schema, 0).map(({ name: member, type, note: text, depth }) =>
    row(`${"– ".repeat(depth)}\`${member}\``, type, text),
  )
  const head = `**Body**${about === "" ? "" : `: ${about}`}`
  return rows.length === 0 ? head : `${head}\n\n| field | type | meaning |\n|---|---|---|\n${rows.join("\n")}`
}

function errors(operation: Operation): string {
  const failures = Object.entries(operation.responses ?? {}).filter(([status]) => !status.startsWith("2"))
  const told = failures.map(([status, { description = "" }]) =>
    SHARED_ERRORS.has(status) ? status : `${status} (${description.replace(/\.$/, "")})`,
  )
  return told.length === 0 ? "" : `**Errors**: ${told.join(", ")}.`
}

/** The path with ids, and the query, as an example has them. */
function exampleUrl(route: ApiRoute): string {
  const segments = route.path.split("/")
  const filled = segments.map((segment, index) => {
    if (!segment.startsWith("{")) return segment
    const name = segment.slice(1, -1)
    if (name === "name") return "mistral-eu"
    if (name === "account") return "main"
    const before = name === "id" ? (segments[index - 1] ?? "") : name.replace("_id", "")
    return idOf(before)
  })
  const { query } = EXAMPLES[nameOf(route)] ?? {}
  return `${BASE_URL}${filled.join("/")}${query === undefined ? "" : `?${query}`}`
}

function idOf(of: string): string {
  return IDS.find(([pattern]) => pattern.test(of))?.[1] ?? RECORD_ID
}

function exampleRequest(route: ApiRoute): string {
  const { body: sent } = EXAMPLES[nameOf(route)] ?? {}
  const method = route.method === (sent === undefined ? "GET" : "POST") ? "" : ` -X ${route.method}`
  const url = exampleUrl(route)
  const parts = [`curl${method} ${/[?&]/.test(url) ? `"${url}"` : url}`, ...credential(route)]
  if (sent !== undefined) parts.push(`-H "Content-Type: application/json"`, `-d '${jsonText(sent)}'`)
  return fenced("sh", joinedLines(parts))
}

function credential({ path: pattern, method }: ApiRoute): string[] {
  if (pattern.startsWith("/admin/") || pattern.startsWith("/v1/organization/"))
    return ['-H "Authorization: Bearer $ADMIN_KEY"']
  if (pattern.startsWith("/v1/")) return ['-H "Authorization: Bearer $KEY"']
  if (pattern === "/auth/methods") return []
  if (pattern === "/auth/login") return ["-c cookies"]
  const cookie = method === "GET" ? "-b cookies" : "-b cookies -c cookies"
  const own = ['-H "x-tallygate-csrf: $CSRF_TOKEN"', '-H "Sec-Fetch-Site: same-origin"']
  return method === "GET" ? [cookie] : [cookie, ...own]
}

/** Arguments on as few lines as they fit. */
function joinedLines(parts: readonly string[]): string {
  const lines: string[] = []
  for (const part of parts) {
    const last = lines.at(-1)
    const fits = last !== undefined && !part.includes("\n") && last.length + part.length < WIDTH_MAX
    if (fits) lines[lines.length - 1] = `${last} ${part}`
    else lines.push(part)
  }
  return lines.join(" \\\n  ")
}

function exampleAnswer({ api }: Page, route: ApiRoute): string {
  const { status, type, schema } = successOf(route)
  if (type !== "application/json") return `It answers ${status} with \`${type}\`.`
  return `It answers ${status}:\n\n${fenced("json", jsonText(sampleOf(api, schema, sampleName(route), 0)))}`
}

function sampleName({ path: pattern }: ApiRoute): string {
  return pattern.split("/").findLast((segment) => segment !== "" && !segment.startsWith("{")) ?? ""
}

function fenced(language: string, text: string): string {
  return `\`\`\`${language}\n${text}\n\`\`\``
}

/** A value that the schema describes, as much like a real one as names and examples tell. */
function sampleOf(api: ApiDescription, given: Schema | undefined, name: string, depth: number): unknown {
  const title = given?.$ref?.split("/").at(-1) ?? ""
  if (title in SCHEMA_SAMPLES) return SCHEMA_SAMPLES[title]
  const schema = resolved(api, given)
  if (schema === undefined || depth > SAMPLE_DEPTH_MAX) return {}
  if (schema.allOf !== undefined) {
    const parts = schema.allOf.map((part) => sampleOf(api, part, title || name, depth))
    return Object.assign({}, ...parts.filter((part) => typeof part === "object")) as unknown
  }
  const several = schema.anyOf ?? schema.oneOf
  if (several !== undefined) return sampleOf(api, several[0], title || name, depth)
  if (schema.properties !== undefined) {
    const members = Object.entries(schema.properties).filter(([member]) => !isOptional(schema, member))
    return Object.fromEntries(
      members.map(([member, one]) => [
        member,
        member === "id" ? idOf(title || name) : sampleOf(api, one, member, depth + 1),
      ]),
    )
  }
  if (schema.items !== undefined) {
    return isNull(schema, name) ? null : [sampleOf(api, schema.items, name.replace(/s$/, ""), depth + 1)]
  }
  return leafOf(schema, name)
}

function isOptional(schema: Schema, member: string): boolean {
  return schema.required !== undefined && !schema.required.includes(member)
}

/** Ends, pauses and caps are nothing for most things. */
function isNull({ type }: Schema, name: string): boolean {
  return (
    [type].flat().includes("null") &&
    /^(revoked|disabled|rotated|expires|previous|max|allowed|ip|each|tool$|tag$|days$|model$|endpoint$|raise|next$|last$|other$|counted|error|oidc|channel_ids)/.test(
      name,
    )
  )
}

function leafOf(schema: Schema, name: string): unknown {
  const type = [schema.type].flat()[0]
  if (isNull(schema, name)) return null
  if (schema.enum !== undefined) return schema.enum[0]
  if (schema.default !== undefined) return schema.default
  if (type === "boolean") return false
  if (type === "number" || type === "integer") return /percent/.test(name) ? 8 : 1
  if (type === "object") return {}
  const known = VALUES.find(([pattern]) => pattern.test(name))?.[1]
  if (known !== undefined) return known
  return name.endsWith("_id") || name === "actor" || name === "subject" ? idOf(name.replace(/_id$/, "")) : "…"
}

/** JSON as people write it: what fits stands on one line. */
function jsonText(value: unknown, indent = ""): string {
  const flat = flatText(value)
  if (flat.length + indent.length <= WIDTH_MAX || typeof value !== "object" || value === null) return flat
  const deeper = `${indent}  `
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"]
  const members = Array.isArray(value)
    ? value.map((one) => jsonText(one, deeper))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${jsonText(one, deeper)}`)
  const lines: string[] = []
  for (const member of members) {
    const last = lines.at(-1)
    const fits = last !== undefined && !last.includes("\n") && !member.includes("\n")
    if (fits && deeper.length + last.length + member.length + 2 < WIDTH_MAX)
      lines[lines.length - 1] = `${last}, ${member}`
    else lines.push(member)
  }
  return `${open}\n${deeper}${lines.join(`,\n${deeper}`)}\n${indent}${close}`
}

function flatText(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${value.map(flatText).join(", ")}]`
  const members = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${flatText(one)}`)
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`
}

/** The page as it is committed; '' where there is none. */
export function committedPage(): string {
  try {
    return readFileSync(API_PAGE, "utf8")
  } catch {
    return ""
  }
}

if (import.meta.main) writeFileSync(API_PAGE, apiPage())
