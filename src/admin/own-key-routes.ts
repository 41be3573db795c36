/**
 * Key holders' own keys, without an admin: a virtual key, or a session, shows, makes, rotates and revokes the keys of its
 * user. A key that is bound to no user has itself alone. What is not one's own does not exist here.
 */
import { createRoute, z } from "@hono/zod-openapi"
import type { Context } from "hono"
import { bodyLimit } from "hono/body-limit"
import type { Actor } from "../identity/audit.ts"
import { isIpAllowed } from "../identity/ip-allow.ts"
import {
  listVirtualKeys,
  readKeyRow,
  revokeVirtualKey,
  rotateVirtualKey,
  type VirtualKeyRow,
} from "../identity/key-registry.ts"
import { isOwn, type KeyHolder, userOf } from "../identity/own-key.ts"
import { createOwnKey } from "../identity/own-key-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { presentedSession } from "./authenticate.ts"
import { requireOwnPage } from "./csrf.ts"
import { rotation } from "./key-routes.ts"
import { keyChanges, keyOutput, newKey, shownKey } from "./key-shape.ts"
import { noStore } from "./session-routes.ts"

const BODY_BYTES_MAX = 64 * 1024
const SECURITY = [{ virtualKey: [] }]

/** Metadata and external ids are the admins' own words. */
const ownKeyOutput = keyOutput.omit({ metadata: true, external_id: true }).openapi("OwnKey")
const createdOwnKey = ownKeyOutput
  .extend({ key: z.string().openapi({ description: "The secret, shown this once." }) })
  .openapi("CreatedOwnKey")
const newOwnKey = newKey
  .pick({ name: true, project_id: true, allowed_models: true, expires_at: true, tags: true })
  .openapi("NewOwnKey", { description: "Within the project's key_defaults; what is absent is as much as they allow." })

export function ownKeyRoutes(app: AdminApp, options: AdminOptions): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "virtualKey", { type: "http", scheme: "bearer" })
  app.use("/v1/keys/*", noStore)
  app.use("/v1/keys/*", bodyLimit({ maxSize: BODY_BYTES_MAX, onError: bodyTooLarge }))
  list(app, options)
  make(app, options)
  rotateAndRevoke(app, options)
}

function bodyTooLarge(): never {
  const message = `A request about own keys has at most ${BODY_BYTES_MAX} bytes.`
  throw new ApiError("request_too_large", message, { headers: [["connection", "close"]] })
}

function list(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/v1/keys",
    security: SECURITY,
    request: { query: pageQuery },
    responses: answers(200, "A page of your own keys, without secrets.", pageOf(ownKeyOutput)),
  })
  app.openapi(route, async (context) => {
    const { holder } = await holderOf(options, context)
    const { after, limit } = context.req.valid("query")
    const rows = await ownKeys(options, holder, after, limit)
    return context.json({ data: rows.map(shownOwnKey), next: nextAfter(rows, limit) }, 200)
  })
}

async function ownKeys(
  { sql }: AdminOptions,
  holder: KeyHolder,
  after: string,
  max: number,
): Promise<readonly VirtualKeyRow[]> {
  const userId = userOf(holder)
  if (userId !== null) {
    const all = { visibility: { kind: "all" }, organizationId: null, projectId: null } as const
    return listVirtualKeys(sql, { ...all, userId, after, max })
  }
  const row = holder.kind === "key" && after === "" ? await readKeyRow(sql, holder.key.id) : null
  return row === null ? [] : [row]
}

function make(app: AdminApp, options: AdminOptions): void {
  const { sql, clock, directory } = options
  const route = createRoute({
    method: "post",
    path: "/v1/keys",
    security: SECURITY,
    request: { body: jsonBody(newOwnKey) },
    responses: answers(201, "The key, with its secret.", createdOwnKey),
  })
  app.openapi(route, async (context) => {
    const { holder, actor } = await holderOf(options, context)
    const input = context.req.valid("json")
    const { allowedModels, expiresAt, tags } = keyChanges(input)
    const wanted = { name: input.name, projectId: input.project_id ?? null, allowedModels, expiresAt, tags }
    const made = await createOwnKey(sql, actor, holder, wanted, new Date(clock.nowMs()))
    if (made.kind === "missing") return missingThing("project", made.projectId, "project_id")()
    if (made.kind === "refused") {
      throw new ApiError(made.isForbidden ? "not_permitted" : "invalid_request", made.message, { param: made.param })
    }
    await directory.changed()
    return context.json({ ...shownOwnKey(made.row), key: made.secret }, 201)
  })
}

function rotateAndRevoke(app: AdminApp, options: AdminOptions): void {
  const { sql, clock, directory } = options
  const rotate = createRoute({
    method: "post",
    path: "/v1/keys/{id}/rotate",
    security: SECURITY,
    request: { params: idParams, body: { ...jsonBody(rotation), required: false } },
    responses: answers(201, "The key, with its new secret.", createdOwnKey),
  })
  app.openapi(rotate, async (context) => {
    const { holder, actor } = await holderOf(options, context)
    const { id } = await ownKey(options, holder, context.req.valid("param").id)
    const overlapMs = (context.req.valid("json").overlap_seconds ?? 0) * 1_000
    const rotated = await rotateVirtualKey(sql, actor, id, { now: new Date(clock.nowMs()), overlapMs })
    if (rotated === "revoked") throw new ApiError("conflict", "This key was revoked. Make a new one.", { param: "id" })
    await directory.changed()
    const { row, secret } = rotated ?? missingThing("key", id)()
    return context.json({ ...shownOwnKey(row), key: secret }, 201)
  })

  const revoke = createRoute({
    method: "post",
    path: "/v1/keys/{id}/revoke",
    security: SECURITY,
    request: { params: idParams },
    responses: answers(200, "The key, revoked.", ownKeyOutput),
  })
  app.openapi(revoke, async (context) => {
    const { holder, actor } = await holderOf(options, context)
    const { id } = await ownKey(options, holder, context.req.valid("param").id)
    const row = await revokeVirtualKey(sql, actor, id, new Date(clock.nowMs()))
    await directory.changed()
    return context.json(shownOwnKey(row ?? missingThing("key", id)()), 200)
  })
}

async function ownKey({ sql }: AdminOptions, holder: KeyHolder, id: string): Promise<VirtualKeyRow> {
  const row = await readKeyRow(sql, id)
  return row !== null && isOwn(holder, row) ? row : missingThing("key", id)()
}

function shownOwnKey(row: VirtualKeyRow): z.infer<typeof ownKeyOutput> {
  const { metadata: _, external_id: __, ...members } = shownKey(row)
  return members
}

/** Whose keys the caller may see to, and how the audit log names the caller. */
export async function holderOf(
  options: AdminOptions,
  context: Context<AdminEnv>,
): Promise<{ readonly holder: KeyHolder; readonly actor: Actor }> {
  const ip = callerIp(context)
  const secret = presentedSecret(context)
  const holder = secret === null ? await holderOfSession(options, context) : await holderOfKey(options, secret)
  if (holder.kind === "key" && !isIpAllowed(holder.key.ipAllow, ip)) {
    throw new ApiError("address_not_allowed", "This virtual key may not be used from this address.")
  }
  return { holder, actor: { name: holder.kind === "key" ? holder.key.id : holder.userId, ip } }
}

function presentedSecret(context: Context<AdminEnv>): string | null {
  const authorization = context.req.header("authorization")
  const inBearer = authorization === undefined ? undefined : (/^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? "")
  const inHeader = context.req.header("x-api-key")
  if (inBearer !== undefined && inHeader !== undefined && inBearer !== inHeader) {
    throw new ApiError("conflicting_api_keys", "Different keys stand in Authorization and x-api-key. Send one of them.")
  }
  return inBearer ?? inHeader ?? null
}

async function holderOfKey({ directory }: AdminOptions, secret: string): Promise<KeyHolder> {
  const identified = await directory.identify(secret)
  if (identified.kind === "refused") throw new ApiError("invalid_api_key", identified.message)
  if (identified.kind === "unavailable") {
    const options = { headers: [["retry-after", "2"]], cause: identified.cause } as const
    throw new ApiError("identity_store_unavailable", "Keys cannot be looked up at the moment. Try again.", options)
  }
  return { kind: "key", key: identified.key }
}

async function holderOfSession(options: AdminOptions, context: Context<AdminEnv>): Promise<KeyHolder> {
  const presented = await presentedSession(options, context)
  if (presented === null) {
    throw new ApiError(
      "invalid_api_key",
      "Send a virtual key as `Authorization: Bearer tg_…`, or log in by POST /auth/login.",
    )
  }
  requireOwnPage(context, presented.secret)
  const { holder } = presented.session
  if (holder.kind === "key") return holder
  if (holder.kind === "user") return { kind: "user", userId: holder.id, organizationId: holder.organizationId }
  throw new ApiError("not_permitted", "An admin key has no keys of its own. Keys of others are at /admin/v1/keys.")
}
