/** Alert channels: make, list, show, change, delete, try, preview. Addresses and signing secrets come in and never go out. */
import { createRoute, z } from "@hono/zod-openapi"
import { sampleMessage } from "../alerts/alert-message.ts"
import {
  type ChangedChannel,
  changeChannel,
  createChannel,
  deleteChannel,
  listChannels,
} from "../alerts/channel-registry.ts"
import { CHANNEL_KINDS, type ChannelKind, type ChannelRow, readChannel } from "../alerts/channel-rows.ts"
import { isLookedUp, RECIPIENT_EXPECTED } from "../alerts/recipients.ts"
import { writeMessage } from "../alerts/send.ts"
import { isSigningSecret, SIGNING_SECRET_EXPECTED } from "../alerts/webhook-signature.ts"
import { readOrganization } from "../identity/organization-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { deliveryOutput, shownDelivery } from "./alert-delivery-routes.ts"
import { organizationScope, requireScope, shownTarget, targetOfRow } from "./alert-shape.ts"
import {
  answers,
  atLeastOneField,
  idParams,
  iso,
  jsonBody,
  missingThing,
  nameInput,
  nextAfter,
  noEncryptionKey,
  pageOf,
  pageQuery,
} from "./answers.ts"
import { targetOf } from "./grant-shape.ts"

const RECIPIENTS_MAX = 50

const recipient = z
  .string()
  .max(254)
  .refine((text) => isLookedUp(text) || z.email().safeParse(text).success, { error: `must be ${RECIPIENT_EXPECTED}` })
const members = {
  recipients: z
    .array(recipient)
    .min(1)
    .max(RECIPIENTS_MAX)
    .optional()
    .openapi({
      description:
        "Of the kind email alone: mail addresses, `role:owner` and so on for everybody who has exactly that role over the " +
        "channel's scope when a message is sent, `user` for the user whom an alert is about.",
    }),
  url: z.string().max(2_000).optional().openapi({
    description: "Where messages are posted, of all other kinds; stored encrypted and never shown, but for its host.",
  }),
  signing_secret: z
    .string()
    .refine(isSigningSecret, { error: `must be ${SIGNING_SECRET_EXPECTED}` })
    .optional()
    .openapi({ description: "What a webhook is signed with; a new webhook without one gets one, shown this once." }),
}
const newChannel = z
  .strictObject({ scope: organizationScope, kind: z.enum(CHANNEL_KINDS), name: nameInput, ...members })
  .openapi("NewAlertChannel")
const channelChange = z
  .strictObject({
    name: nameInput.optional(),
    ...members,
    disabled: z.boolean().optional().openapi({ description: "While true, no new message goes to it." }),
  })
  .refine(...atLeastOneField)
  .openapi("AlertChannelChange", { description: "What is absent stays as it is." })
const channelOutput = z
  .object({
    id: z.string(),
    scope: organizationScope,
    kind: z.enum(CHANNEL_KINDS),
    name: z.string(),
    recipients: z.array(z.string()),
    host: z.string().openapi({ description: "Of the address; '' of mail." }),
    disabled_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("AlertChannel")
const createdChannel = channelOutput
  .extend({
    signing_secret: z
      .string()
      .nullable()
      .openapi({ description: "One that was made here, shown this once; else null." }),
  })
  .openapi("CreatedAlertChannel")
const preview = z
  .object({
    subject: z.string().nullable(),
    text: z.string().nullable(),
    html: z.string().nullable(),
    body: z.unknown().openapi({ description: "The JSON that is posted; null of mail." }),
  })
  .openapi("AlertPreview")

const READ = permit("alerts:read")
const WRITE = permit("alerts:write")

export function alertChannelRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
  tryOut(app, options)
}

function makeAndList(app: AdminApp, { sql, providers, alerts }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/alert-channels",
    middleware: WRITE,
    request: { body: jsonBody(newChannel) },
    responses: answers(201, "The channel; rules without channels of their own tell it from now on.", createdChannel),
  })
  app.openapi(create, async (context) => {
    const { scope, kind, name, ...rest } = context.req.valid("json")
    const target = await targetOf(sql, scope)
    requireScope(context.get("access"), target)
    refuseMembers(kind, rest, alerts.allowsPrivate, true)
    const made = await createChannel(sql, providers.box, actorOf(context), {
      ...{ kind, name, recipients: rest.recipients ?? [], url: rest.url ?? "" },
      organizationId: target.scope === "installation" ? "" : target.organizationId,
      signingSecret: rest.signing_secret ?? null,
    })
    const { row, madeSecret } = requireDone(made, "")
    return context.json({ ...shown(row), signing_secret: madeSecret }, 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/alert-channels",
    middleware: READ,
    request: { query: pageQuery },
    responses: answers(200, "A page of channels, without secrets.", pageOf(channelOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listChannels(sql, { visibility: context.get("access").visible(), after, max: limit })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, providers, alerts }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/alert-channels/{id}",
    middleware: READ,
    request: { params: idParams },
    responses: answers(200, "The channel.", channelOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shown(await permittedChannel(sql, context.get("access"), id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/alert-channels/{id}",
    middleware: WRITE,
    request: { params: idParams, body: jsonBody(channelChange) },
    responses: answers(200, "The channel as it is now.", channelOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const { name, recipients, url, signing_secret: signingSecret, disabled: isDisabled } = context.req.valid("json")
    const { kind } = await permittedChannel(sql, context.get("access"), id)
    refuseMembers(kind, context.req.valid("json"), alerts.allowsPrivate, false)
    const changes = { name, recipients, url, signingSecret, isDisabled }
    const changed = await changeChannel(sql, providers.box, actorOf(context), id, changes)
    return context.json(shown(requireDone(changed, id).row), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/alert-channels/{id}",
    middleware: WRITE,
    request: { params: idParams },
    responses: answers(200, "The channel as it stood; what was still to go to it fails.", channelOutput),
  })
  app.openapi(remove, async (context) => {
    const { id } = context.req.valid("param")
    await permittedChannel(sql, context.get("access"), id)
    return context.json(shown((await deleteChannel(sql, actorOf(context), id)) ?? missing(id)()), 200)
  })
}

function tryOut(app: AdminApp, { sql, clock, alerts }: AdminOptions): void {
  const sampleFor = async ({ organization_id: id }: ChannelRow) => {
    const name = id === "" ? "" : ((await readOrganization(sql, id))?.name ?? "")
    return sampleMessage({ id, name }, alerts.baseUrl, clock.nowMs())
  }
  const test = createRoute({
    method: "post",
    path: "/admin/v1/alert-channels/{id}/test",
    middleware: WRITE,
    request: { params: idParams },
    responses: answers(200, "What became of a test message, which was sent now and once.", deliveryOutput),
  })
  app.openapi(test, async (context) => {
    const channel = await permittedChannel(sql, context.get("access"), context.req.valid("param").id)
    return context.json(shownDelivery(await alerts.worker.test(channel, await sampleFor(channel))), 200)
  })

  const show = createRoute({
    method: "get",
    path: "/admin/v1/alert-channels/{id}/preview",
    middleware: READ,
    request: { params: idParams },
    responses: answers(200, "A test message as the channel would get it.", preview),
  })
  app.openapi(show, async (context) => {
    const channel = await permittedChannel(sql, context.get("access"), context.req.valid("param").id)
    const written = writeMessage(channel.kind, await sampleFor(channel))
    if (written.kind === "json") {
      return context.json({ subject: null, text: null, html: null, body: JSON.parse(written.body) }, 200)
    }
    const { subject, text, html } = written
    return context.json({ subject, text, html, body: null }, 200)
  })
}

/** The channel, where the caller may do what the route does to it; else 404 or 403. */
async function permittedChannel(sql: Sql, access: Access, id: string): Promise<ChannelRow> {
  const row = (await readChannel(sql, id)) ?? missing(id)()
  access.on(targetOfRow(row), missing(id))
  return row
}

type Given = { recipients?: unknown; url?: string | undefined; signing_secret?: unknown }

/** Refuses what the kind has no use for, what it lacks, and addresses that messages must not go to in the clear. */
function refuseMembers(kind: ChannelKind, given: Given, allowsHttp: boolean, isNew: boolean): void {
  const needed = kind === "email" ? "recipients" : "url"
  const useless = [kind === "email" ? "url" : "recipients", ...(kind === "webhook" ? [] : ["signing_secret"])] as const
  const refuse = (param: string, message: string) => {
    throw new ApiError("invalid_request", message, { param })
  }
  for (const member of useless) {
    if (given[member as keyof Given] !== undefined) refuse(member, `${member}: has no use for the kind ${kind}.`)
  }
  if (isNew && given[needed] === undefined) refuse(needed, `${needed}: is needed for the kind ${kind}.`)
  if (given.url === undefined || isTarget(given.url, allowsHttp)) return
  const expected = `an https URL without user and fragment${allowsHttp ? ", or http" : ""}`
  refuse("url", `url: must be ${expected}.`)
}

function isTarget(text: string, allowsHttp: boolean): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  const isKnown = protocol === "https:" || (allowsHttp && protocol === "http:")
  return isKnown && username === "" && password === "" && hash === ""
}

function requireDone(changed: ChangedChannel, id: string): Extract<ChangedChannel, { kind: "done" }> {
  if (changed.kind === "done") return changed
  if (changed.kind === "missing") return missing(id)()
  throw noEncryptionKey("Addresses of channels are", "url")
}

function missing(id: string): () => never {
  return missingThing("alert channel", id)
}

function shown(row: ChannelRow): z.infer<typeof channelOutput> {
  const { id, kind, name, recipients, host } = row
  return {
    ...{ id, kind, name, host },
    scope: shownTarget(targetOfRow(row)),
    recipients: [...recipients],
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
  }
}
