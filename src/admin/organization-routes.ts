/** Organizations: make, list, show, change, disable and enable. Making and disabling is the installation's business. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  type ChangedOrganization,
  createOrganization,
  listOrganizations,
  type OrganizationRow,
  readOrganization,
  updateOrganization,
} from "../identity/organization-registry.ts"
import { RETENTION_DAYS_MAX, RETENTION_DAYS_MIN } from "../ledger/usage-retention.ts"
import { ApiError } from "../platform/error-table.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import {
  answers,
  atLeastOneField,
  externalIdInput,
  idParams,
  iso,
  jsonBody,
  missingThing,
  nameInput,
  nextAfter,
  pageOf,
  pageQuery,
} from "./answers.ts"
import { timeZoneInput } from "./limit-shape.ts"

const members = {
  external_id: externalIdInput,
  time_zone: timeZoneInput.optional().openapi({
    description: "IANA zone in which the organization's days begin in reports; UTC unless told.",
  }),
}
const retentionInput = z
  .number()
  .int()
  .min(RETENTION_DAYS_MIN)
  .max(RETENTION_DAYS_MAX)
  .nullable()
  .optional()
  .openapi({
    description:
      "Days for which records of single calls are kept; sums stay. null: as the installation does. A shorter time deletes " +
      "within the hour; GET /admin/v1/organizations/{id}/retention?days= tells beforehand what.",
  })
const newOrganization = z.strictObject({ name: nameInput, ...members }).openapi("NewOrganization")
const organizationChange = z
  .strictObject({
    name: nameInput.optional(),
    ...members,
    usage_retention_days: retentionInput,
    disabled: z.boolean().optional().openapi({
      description: "While true, every key of the organization is refused. Takes a role over the installation.",
    }),
  })
  .refine(...atLeastOneField)
  .openapi("OrganizationChange", { description: "What is absent stays as it is." })
const organizationOutput = z
  .object({
    id: z.string(),
    name: z.string(),
    external_id: z.string().nullable(),
    time_zone: z.string(),
    usage_retention_days: z.number().nullable(),
    disabled_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("Organization")

export function organizationRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
}

function makeAndList(app: AdminApp, { sql }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/organizations",
    middleware: permit("organizations:write"),
    request: { body: jsonBody(newOrganization) },
    responses: answers(201, "The organization, with a project `default`.", organizationOutput),
  })
  app.openapi(create, async (context) => {
    context.get("access").onInstallation()
    const { name, external_id: externalId, time_zone: timeZone } = context.req.valid("json")
    const made = await createOrganization(sql, actorOf(context), { name, externalId, timeZone })
    return context.json(shown(rowOf(made, "")), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/organizations",
    middleware: permit("organizations:read"),
    request: { query: pageQuery },
    responses: answers(200, "A page of organizations.", pageOf(organizationOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listOrganizations(sql, { visibility: context.get("access").visible(), after, max: limit })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, directory }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/organizations/{id}",
    middleware: permit("organizations:read"),
    request: { params: idParams },
    responses: answers(200, "The organization.", organizationOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    context.get("access").inOrganization(id, missing(id))
    return context.json(shown((await readOrganization(sql, id)) ?? missing(id)()), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/organizations/{id}",
    middleware: permit("organizations:write"),
    request: { params: idParams, body: jsonBody(organizationChange) },
    responses: answers(200, "The organization as it is now.", organizationOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const { name, external_id: externalId, time_zone: timeZone, disabled, ...rest } = context.req.valid("json")
    const access = context.get("access")
    access.inOrganization(id, missing(id))
    if (disabled !== undefined) access.onInstallation()
    const changes = { name, externalId, timeZone, usageRetentionDays: rest.usage_retention_days, isDisabled: disabled }
    const changed = await updateOrganization(sql, actorOf(context), id, changes)
    await directory.changed()
    return context.json(shown(rowOf(changed, id)), 200)
  })
}

function rowOf(changed: ChangedOrganization, id: string): OrganizationRow {
  if (changed.kind === "done") return changed.row
  if (changed.kind === "missing") return missing(id)()
  throw new ApiError("conflict", "Another organization has that external_id.", { param: "external_id" })
}

function missing(id: string): () => never {
  return missingThing("organization", id)
}

function shown(row: OrganizationRow): z.infer<typeof organizationOutput> {
  return { ...row, disabled_at: iso(row.disabled_at), created_at: row.created_at.toISOString() }
}
