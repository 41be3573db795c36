/** Alert rules: make, list, show, change, delete. What a rule is told depends on its kind and is checked by it. */
import { createRoute, z } from "@hono/zod-openapi"
import { INSTALLATION_KINDS, parseParameters, RULE_KINDS, type RuleKind } from "../alerts/alert-rule.ts"
import type { AlertRuleRow } from "../alerts/alert-rule-rows.ts"
import { changeRule, createRule, deleteRule, listRules, readRule } from "../alerts/rule-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { channelIdsInput, requireChannels, requireScope, shownTarget, targetOfRow } from "./alert-shape.ts"
import {
  answers,
  atLeastOneField,
  idParams,
  iso,
  jsonBody,
  missingThing,
  nameInput,
  nextAfter,
  pageOf,
  pageQuery,
} from "./answers.ts"
import { grantScope, targetOf } from "./grant-shape.ts"

const members = {
  parameters: z.record(z.string().max(50), z.unknown()).openapi({
    description:
      "threshold: limit_kinds (usd, tokens, requests), thresholds in percent of the cap, forecast_thresholds of what will be " +
      "used at the window's end; anomaly: by (key, project, tool), usd_min, deviations; error_rate and provider_down: " +
      "percent, minutes, calls_min; key_expiry: days; store_degraded: minutes; journal_backlog: rows. What is absent is the kind's default.",
  }),
  channel_ids: channelIdsInput,
}
const newRule = z
  .strictObject({
    scope: grantScope,
    kind: z.enum(RULE_KINDS),
    name: nameInput,
    parameters: members.parameters.default({}),
    channel_ids: members.channel_ids.default(null),
  })
  .openapi("NewAlertRule")
const ruleChange = z
  .strictObject({
    name: nameInput.optional(),
    parameters: members.parameters.optional(),
    channel_ids: members.channel_ids.optional(),
    disabled: z.boolean().optional().openapi({ description: "While true, it raises nothing." }),
  })
  .refine(...atLeastOneField)
  .openapi("AlertRuleChange", { description: "What is absent stays as it is." })
const ruleOutput = z
  .object({
    id: z.string(),
    scope: grantScope,
    kind: z.enum(RULE_KINDS),
    name: z.string(),
    parameters: z.record(z.string(), z.unknown()).openapi({ description: "Defaults filled in." }),
    channel_ids: z.array(z.string()).nullable(),
    disabled_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("AlertRule")

const READ = permit("alerts:read")
const WRITE = permit("alerts:write")

export function alertRuleRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
}

function makeAndList(app: AdminApp, { sql }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/alert-rules",
    middleware: WRITE,
    request: { body: jsonBody(newRule) },
    responses: answers(201, "The rule; it is looked at within ten seconds.", ruleOutput),
  })
  app.openapi(create, async (context) => {
    const { scope, kind, name, parameters, channel_ids: channelIds } = context.req.valid("json")
    const target = await targetOf(sql, scope)
    requireScope(context.get("access"), target)
    if (INSTALLATION_KINDS.has(kind) && target.scope !== "installation") {
      const message = `A rule of the kind ${kind} is about the proxies themselves, so its scope is {}: the installation.`
      throw new ApiError("invalid_request", message, { param: "scope" })
    }
    const organizationId = target.scope === "installation" ? "" : target.organizationId
    await requireChannels(sql, organizationId, channelIds)
    const row = await createRule(sql, actorOf(context), {
      ...{ organizationId, kind, name, channelIds, parameters: readParameters(kind, parameters) },
      projectId: target.scope === "project" ? target.projectId : "",
    })
    return context.json(shown(row), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/alert-rules",
    middleware: READ,
    request: { query: pageQuery },
    responses: answers(200, "A page of rules.", pageOf(ruleOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listRules(sql, { visibility: context.get("access").visible(), after, max: limit })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/alert-rules/{id}",
    middleware: READ,
    request: { params: idParams },
    responses: answers(200, "The rule.", ruleOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shown(await permittedRule(sql, context.get("access"), id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/alert-rules/{id}",
    middleware: WRITE,
    request: { params: idParams, body: jsonBody(ruleChange) },
    responses: answers(200, "The rule as it is now; what it has raised stays raised.", ruleOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const { name, parameters, channel_ids: channelIds, disabled: isDisabled } = context.req.valid("json")
    const { kind, organization_id } = await permittedRule(sql, context.get("access"), id)
    await requireChannels(sql, organization_id, channelIds ?? null)
    const changes = {
      ...(name === undefined ? {} : { name }),
      ...(parameters === undefined ? {} : { parameters: readParameters(kind, parameters) }),
      ...(channelIds === undefined ? {} : { channelIds }),
      isDisabled,
    }
    return context.json(shown((await changeRule(sql, actorOf(context), id, changes)) ?? missing(id)()), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/alert-rules/{id}",
    middleware: WRITE,
    request: { params: idParams },
    responses: answers(200, "The rule as it stood.", ruleOutput),
  })
  app.openapi(remove, async (context) => {
    const { id } = context.req.valid("param")
    await permittedRule(sql, context.get("access"), id)
    const row = await deleteRule(sql, actorOf(context), id)
    if (row !== null) return context.json(shown(row), 200)
    throw new ApiError("conflict", "The rule that there is from the start can be disabled, not deleted.", {
      param: "id",
    })
  })
}

/** The rule, where the caller may do what the route does to it; else 404 or 403. */
async function permittedRule(sql: Sql, access: Access, id: string): Promise<AlertRuleRow> {
  const row = (await readRule(sql, id)) ?? missing(id)()
  access.on(targetOfRow(row), missing(id))
  return row
}

function readParameters(kind: RuleKind, given: unknown): Record<string, unknown> {
  const parsed = parseParameters(kind, given)
  if (parsed.kind === "parsed") return parsed.parameters
  const param = ["parameters", parsed.path].filter((part) => part !== "").join(".")
  throw new ApiError("invalid_request", `${param}: ${parsed.message}, of a rule of the kind ${kind}.`, { param })
}

function missing(id: string): () => never {
  return missingThing("alert rule", id)
}

function shown(row: AlertRuleRow): z.infer<typeof ruleOutput> {
  const { id, kind, name, parameters, channel_ids } = row
  const parsed = parseParameters(kind, parameters)
  return {
    ...{ id, kind, name },
    scope: shownTarget(targetOfRow(row)),
    parameters: parsed.kind === "parsed" ? parsed.parameters : parameters,
    channel_ids: channel_ids === null ? null : [...channel_ids],
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
  }
}
