/** Digests: make, list, show, change, delete, send now, preview. */
import { createRoute, z } from "@hono/zod-openapi"
import { makeDigest } from "../alerts/digest-content.ts"
import {
  DIGEST_PERIODS,
  type DigestPeriod,
  dueAfter,
  SCHEDULE_DEFAULTS,
  SCHEDULE_EXPECTED,
  scheduleFault,
} from "../alerts/digest-period.ts"
import {
  changeDigest,
  createDigest,
  type DigestRow,
  deleteDigest,
  listDigests,
  readDigest,
} from "../alerts/digest-rows.ts"
import { type LastRun, lastRuns, queueDigest } from "../alerts/digest-runs.ts"
import { mailOf } from "../alerts/send.ts"
import { readOrganization } from "../identity/organization-registry.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import {
  channelIdsInput,
  organizationScope,
  requireChannels,
  requireScope,
  shownTarget,
  targetOfRow,
} from "./alert-shape.ts"
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
import { targetOf } from "./grant-shape.ts"
import { timeZoneInput } from "./limit-shape.ts"

const scheduleInput = z
  .string()
  .max(100)
  .superRefine((text, context) => {
    const message = scheduleFault(text)
    if (message !== null) context.addIssue({ code: "custom", message })
  })
  .openapi({
    description: `When it is due, in its own zone: ${SCHEDULE_EXPECTED}. However often it is due, each period is sent once.`,
  })
const periodInput = z.enum(DIGEST_PERIODS).openapi({
  description: "What it is about: the last whole day, week (Monday first) or month before it is due.",
})
const newDigest = z
  .strictObject({
    scope: organizationScope,
    name: nameInput,
    period: periodInput,
    schedule: scheduleInput.optional(),
    time_zone: timeZoneInput.optional(),
    channel_ids: channelIdsInput.default(null),
  })
  .openapi("NewDigest", {
    description:
      "Without a schedule it is due at eight: each day, on Mondays, on the first. Without a zone its organization's.",
  })
const digestChange = z
  .strictObject({
    name: nameInput.optional(),
    period: periodInput.optional(),
    schedule: scheduleInput.optional(),
    time_zone: timeZoneInput.optional(),
    channel_ids: channelIdsInput.optional(),
    disabled: z.boolean().optional().openapi({ description: "While true, it is not sent." }),
  })
  .refine(...atLeastOneField)
  .openapi("DigestChange", {
    description: "What is absent stays as it is; a schedule that nobody has chosen follows the period.",
  })
const digestOutput = z
  .object({
    id: z.string(),
    scope: organizationScope,
    name: z.string(),
    period: periodInput,
    schedule: z.string(),
    time_zone: z.string(),
    channel_ids: z.array(z.string()).nullable(),
    disabled_at: z.string().nullable(),
    created_at: z.string(),
    next_at: z.string().nullable().openapi({ description: "When it is due next; null while it is disabled." }),
    last: z
      .object({ period: z.string(), sent_at: z.string() })
      .nullable()
      .openapi({ description: "The last one that the schedule sent." }),
  })
  .openapi("Digest")
const sentOutput = z
  .object({
    period: z.string(),
    title: z.string(),
    deliveries: z
      .array(z.string())
      .openapi({ description: "Ids of the messages, one for each channel; sent within seconds." }),
  })
  .openapi("SentDigest")
const previewOutput = z
  .object({ period: z.string(), subject: z.string(), text: z.string(), html: z.string(), csv: z.string() })
  .openapi("DigestPreview")

const READ = permit("alerts:read")
const WRITE = permit("alerts:write")

export function digestRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
  tryOut(app, options)
}

function makeAndList(app: AdminApp, { sql, clock }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/digests",
    middleware: WRITE,
    request: { body: jsonBody(newDigest) },
    responses: answers(201, "The digest; it is sent when it is due next.", digestOutput),
  })
  app.openapi(create, async (context) => {
    const { scope, name, period, schedule, time_zone, channel_ids: channelIds } = context.req.valid("json")
    const target = await targetOf(sql, scope)
    requireScope(context.get("access"), target)
    const organizationId = target.scope === "installation" ? "" : target.organizationId
    await requireChannels(sql, organizationId, channelIds)
    const timeZone = time_zone ?? (await readOrganization(sql, organizationId))?.time_zone ?? "UTC"
    const wanted = {
      organizationId,
      name,
      period,
      schedule: schedule ?? SCHEDULE_DEFAULTS[period],
      timeZone,
      channelIds,
    }
    const row = await createDigest(sql, actorOf(context), wanted, clock.nowMs())
    return context.json(shown(row, undefined, clock.nowMs()), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/digests",
    middleware: READ,
    request: { query: pageQuery },
    responses: answers(200, "A page of digests.", pageOf(digestOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listDigests(sql, { visibility: context.get("access").visible(), after, max: limit })
    const runs = await lastRuns(
      sql,
      rows.map(({ id }) => id),
    )
    const data = rows.map((row) => shown(row, runs.get(row.id), clock.nowMs()))
    return context.json({ data, next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, clock }: AdminOptions): void {
  const shownNow = async (row: DigestRow) => shown(row, (await lastRuns(sql, [row.id])).get(row.id), clock.nowMs())
  const show = createRoute({
    method: "get",
    path: "/admin/v1/digests/{id}",
    middleware: READ,
    request: { params: idParams },
    responses: answers(200, "The digest.", digestOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(await shownNow(await permittedDigest(sql, context.get("access"), id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/digests/{id}",
    middleware: WRITE,
    request: { params: idParams, body: jsonBody(digestChange) },
    responses: answers(200, "The digest as it is now.", digestOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const { name, period, time_zone: timeZone, channel_ids: channelIds, disabled, ...rest } = context.req.valid("json")
    const before = await permittedDigest(sql, context.get("access"), id)
    await requireChannels(sql, before.organization_id, channelIds ?? null)
    const schedule = rest.schedule ?? scheduleAfter(before, period)
    const changes = { name, period, schedule, timeZone, channelIds, isDisabled: disabled }
    const row = (await changeDigest(sql, actorOf(context), id, changes, clock.nowMs())) ?? missing(id)()
    return context.json(await shownNow(row), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/digests/{id}",
    middleware: WRITE,
    request: { params: idParams },
    responses: answers(200, "The digest as it stood.", digestOutput),
  })
  app.openapi(remove, async (context) => {
    const { id } = context.req.valid("param")
    const before = await shownNow(await permittedDigest(sql, context.get("access"), id))
    if ((await deleteDigest(sql, actorOf(context), id)) === null) missing(id)()
    return context.json(before, 200)
  })
}

function tryOut(app: AdminApp, { sql, clock, findSheet, mintId, alerts }: AdminOptions): void {
  const options = { sql, findSheet, baseUrl: alerts.baseUrl }
  const send = createRoute({
    method: "post",
    path: "/admin/v1/digests/{id}/send",
    middleware: WRITE,
    request: { params: idParams },
    responses: answers(200, "What was queued, whatever the schedule has sent or will send.", sentOutput),
  })
  app.openapi(send, async (context) => {
    const digest = await permittedDigest(sql, context.get("access"), context.req.valid("param").id)
    const nowMs = clock.nowMs()
    const made = await makeDigest(options, digest, { dueMs: nowMs, nowMs, occasion: mintId(nowMs) })
    const queued = (await queueDigest(sql, digest, made, nowMs)) ?? missing(digest.id)()
    const { title, stretch } = made.message
    return context.json({ period: stretch.id, title, deliveries: queued.map(({ id }) => id) }, 200)
  })

  const preview = createRoute({
    method: "get",
    path: "/admin/v1/digests/{id}/preview",
    middleware: READ,
    request: { params: idParams },
    responses: answers(200, "The mail and its table, were it sent now.", previewOutput),
  })
  app.openapi(preview, async (context) => {
    const digest = await permittedDigest(sql, context.get("access"), context.req.valid("param").id)
    const nowMs = clock.nowMs()
    const { message, csv } = await makeDigest(options, digest, { dueMs: nowMs, nowMs, occasion: "" })
    return context.json({ period: message.stretch.id, ...mailOf(message), csv }, 200)
  })
}

/** The digest, where the caller may do what the route does to it; else 404 or 403. */
async function permittedDigest(sql: Sql, access: Access, id: string): Promise<DigestRow> {
  const row = (await readDigest(sql, id)) ?? missing(id)()
  access.on(targetOfRow(row), missing(id))
  return row
}

/** A schedule that nobody has chosen follows the period. */
function scheduleAfter(before: DigestRow, period: DigestPeriod | undefined): string | undefined {
  const isDefault = before.schedule === SCHEDULE_DEFAULTS[before.period]
  return period !== undefined && isDefault ? SCHEDULE_DEFAULTS[period] : undefined
}

function missing(id: string): () => never {
  return missingThing("digest", id)
}

function shown(row: DigestRow, last: LastRun | undefined, nowMs: number): z.infer<typeof digestOutput> {
  const { id, name, period, schedule, time_zone, channel_ids, disabled_at } = row
  const nextMs = disabled_at === null ? dueAfter(schedule, time_zone, nowMs) : null
  return {
    ...{ id, name, period, schedule, time_zone },
    scope: shownTarget(targetOfRow(row)),
    channel_ids: channel_ids === null ? null : [...channel_ids],
    disabled_at: iso(disabled_at),
    created_at: row.created_at.toISOString(),
    next_at: nextMs === null ? null : new Date(nextMs).toISOString(),
    last: last === undefined ? null : { period: last.period_id, sent_at: last.created_at.toISOString() },
  }
}
