/**
 * Providers and their accounts, the installation's own business: list, show, and for those that are made by API make,
 * change, delete. What stands in the configuration is shown and changed there. Credentials come in and never go out.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { DIALECTS, WEIGHT_MAX } from "../identity/provider-account.ts"
import {
  type ChangedAccount,
  createAccount,
  deleteAccount,
  updateAccount,
} from "../identity/provider-account-registry.ts"
import { type ChangedProvider, createProvider, deleteProvider, updateProvider } from "../identity/provider-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AwsKeyMembers, awsKeyFault } from "../providers/aws-keys.ts"
import {
  ACCOUNT_NAME_RULES,
  AWS_KEY_ID_RULES,
  BASE_URL_RULES,
  CREDENTIAL_RULES,
  HEADER_NAME_RULES,
  HEADER_VALUE_RULES,
  LABEL_RULES,
  MODEL_PATTERN_RULES,
  PROVIDER_NAME_RULES,
  type Rule,
  withoutSlash,
} from "../providers/provider-rules.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, atLeastOneField, jsonBody, missingThing, noEncryptionKey } from "./answers.ts"
import { accountOutput, listProviders, providerOutput, type ShownAccount, type ShownProvider } from "./provider-view.ts"

const MODELS_MAX = 1_000
const HEADERS_MAX = 32

function ruled(rules: readonly Rule[]) {
  return rules.reduce(
    (schema, { holds, expected }) => schema.refine(holds, { error: `must be ${expected}`, abort: true }),
    z.string(),
  )
}

const providerMembers = {
  region: ruled(LABEL_RULES)
    .optional()
    .openapi({ description: "Written on usage records and used for regional prices." }),
  priced_as: ruled(LABEL_RULES)
    .optional()
    .openapi({ description: "The provider whose prices apply; '' or unset is its own name." }),
  include_usage: z.boolean().optional().openapi({
    description: "Asks for the usage event of a stream where the caller did not; true unless told.",
  }),
  models: z.array(ruled(MODEL_PATTERN_RULES)).max(MODELS_MAX).optional().openapi({
    description: "Patterns of requested models that go to it, where no route of the configuration matches.",
  }),
  headers: z
    .record(ruled(HEADER_NAME_RULES), ruled(HEADER_VALUE_RULES))
    .refine((headers) => Object.keys(headers).length <= HEADERS_MAX, { error: `at most ${HEADERS_MAX} headers` })
    .optional()
    .openapi({ description: "All further headers of upstream calls, in place of those before; stored encrypted." }),
}
const address = { dialect: z.enum(DIALECTS), base_url: ruled(BASE_URL_RULES).overwrite(withoutSlash) }
const newProvider = z
  .strictObject({ name: ruled(PROVIDER_NAME_RULES), ...address, ...providerMembers })
  .openapi("NewProvider")
const disabled = z.boolean().optional()
const providerChange = z
  .strictObject({
    dialect: address.dialect.optional(),
    base_url: address.base_url.optional(),
    ...providerMembers,
    disabled: disabled.openapi({ description: "While true, nothing is routed to it." }),
  })
  .refine(...atLeastOneField)
  .openapi("ProviderChange", { description: "What is absent stays as it is." })

const accountMembers = {
  api_key: ruled(CREDENTIAL_RULES)
    .nullable()
    .optional()
    .openapi({ description: "The credential, stored encrypted and never shown; null: the provider takes none." }),
  access_key_id: ruled(AWS_KEY_ID_RULES).optional().openapi({
    description: "Of Bedrock, in place of api_key: the access key that requests are signed with; stored encrypted.",
  }),
  secret_access_key: ruled(CREDENTIAL_RULES)
    .optional()
    .openapi({ description: "The secret of access_key_id, stored encrypted and never shown." }),
  session_token: ruled(CREDENTIAL_RULES)
    .optional()
    .openapi({ description: "The session token of an access key that expires, stored encrypted and never shown." }),
  weight: z.int().min(1).max(WEIGHT_MAX).optional().openapi({
    description: "Its share of the virtual keys, relative to the provider's other accounts; 1 unless told.",
  }),
  region: ruled(LABEL_RULES).nullable().optional().openapi({ description: "null: the provider's." }),
}
const newAccount = z
  .strictObject({ name: ruled(ACCOUNT_NAME_RULES), ...accountMembers })
  .refine(({ api_key, access_key_id }) => api_key !== undefined || access_key_id !== undefined, {
    path: ["api_key"],
    error: "must be the credential, or null for none",
  })
  .openapi("NewProviderAccount")
const accountChange = z
  .strictObject({
    ...accountMembers,
    disabled: disabled.openapi({ description: "While true, no call goes to it, and its keys go to others." }),
  })
  .refine(...atLeastOneField)
  .openapi("ProviderAccountChange", { description: "What is absent stays as it is." })

const nameParams = z.object({ name: z.string().max(100) })
const accountParams = nameParams.extend({ account: z.string().max(200) })
const READ = permit("providers:read")
const WRITE = permit("providers:write")

export function providerRoutes(app: AdminApp, options: AdminOptions): void {
  listAndShow(app, options)
  makeProviders(app, options)
  changeProviders(app, options)
  makeAccounts(app, options)
  changeAccounts(app, options)
}

function listAndShow(app: AdminApp, { sql, providers }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/providers",
    middleware: READ,
    responses: answers(200, "All providers.", z.object({ data: z.array(providerOutput) })),
  })
  app.openapi(list, async (context) => {
    context.get("access").onInstallation()
    return context.json({ data: await listProviders(sql, providers) }, 200)
  })

  const show = createRoute({
    method: "get",
    path: "/admin/v1/providers/{name}",
    middleware: READ,
    request: { params: nameParams },
    responses: answers(200, "The provider.", providerOutput),
  })
  app.openapi(show, async (context) => {
    context.get("access").onInstallation()
    return context.json(await shown(sql, providers, context.req.valid("param").name), 200)
  })
}

function makeProviders(app: AdminApp, { sql, providers, directory }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/providers",
    middleware: WRITE,
    request: { body: jsonBody(newProvider) },
    responses: answers(201, "The provider; it takes calls once it has an account.", providerOutput),
  })
  app.openapi(create, async (context) => {
    context.get("access").onInstallation()
    const {
      name,
      base_url: baseUrl,
      priced_as: pricedAs,
      include_usage: includeUsage,
      ...rest
    } = context.req.valid("json")
    refuseConfigured(providers, name)
    const wanted = { name, baseUrl, pricedAs, includeUsage, ...rest }
    requireProvider(await createProvider(sql, providers.box, actorOf(context), wanted), name)
    await directory.changed()
    return context.json(await shown(sql, providers, name), 201)
  })
}

function changeProviders(app: AdminApp, { sql, providers, directory }: AdminOptions): void {
  const change = createRoute({
    method: "patch",
    path: "/admin/v1/providers/{name}",
    middleware: WRITE,
    request: { params: nameParams, body: jsonBody(providerChange) },
    responses: answers(200, "The provider as it is now.", providerOutput),
  })
  app.openapi(change, async (context) => {
    context.get("access").onInstallation()
    const { name } = context.req.valid("param")
    refuseConfigured(providers, name)
    const { base_url, priced_as, include_usage, disabled: isDisabled, ...rest } = context.req.valid("json")
    const changes = { baseUrl: base_url, pricedAs: priced_as, includeUsage: include_usage, isDisabled, ...rest }
    requireProvider(await updateProvider(sql, providers.box, actorOf(context), name, changes), name)
    await directory.changed()
    return context.json(await shown(sql, providers, name), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/providers/{name}",
    middleware: WRITE,
    request: { params: nameParams },
    responses: answers(200, "The provider as it stood; its accounts are deleted with it.", providerOutput),
  })
  app.openapi(remove, async (context) => {
    context.get("access").onInstallation()
    const { name } = context.req.valid("param")
    refuseConfigured(providers, name)
    const before = await shown(sql, providers, name)
    if (!(await deleteProvider(sql, actorOf(context), name))) missingProvider(name)()
    await directory.changed()
    return context.json(before, 200)
  })
}

function makeAccounts(app: AdminApp, { sql, providers, directory }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/providers/{name}/accounts",
    middleware: WRITE,
    request: { params: nameParams, body: jsonBody(newAccount) },
    responses: answers(201, "The account; keys that fall to it go there with their next call.", accountOutput),
  })
  app.openapi(create, async (context) => {
    context.get("access").onInstallation()
    const { name: provider } = context.req.valid("param")
    const { name, weight, region, ...secrets } = context.req.valid("json")
    const at = await shown(sql, providers, provider)
    const { accounts } = at
    if (providers.configured().some((one) => one.name === provider && one.isCallerPaid)) {
      const message = `The provider \`${provider}\` takes its callers' own credentials (credential: caller), so it has no use for an account.`
      throw new ApiError("conflict", message, { param: "name" })
    }
    if (accounts.some((account) => account.name === name)) takenAccount(provider, name)
    const secret = secretIn(secrets, at, region ?? null)
    const wanted = { provider, name, secret, weight, region }
    requireAccount(await createAccount(sql, providers.box, actorOf(context), wanted), provider, name)
    await directory.changed()
    return context.json(await shownAccount(sql, providers, provider, name), 201)
  })
}

function changeAccounts(app: AdminApp, { sql, providers, directory }: AdminOptions): void {
  const change = createRoute({
    method: "patch",
    path: "/admin/v1/providers/{name}/accounts/{account}",
    middleware: WRITE,
    request: { params: accountParams, body: jsonBody(accountChange) },
    responses: answers(200, "The account as it is now.", accountOutput),
  })
  app.openapi(change, async (context) => {
    context.get("access").onInstallation()
    const { name: provider, account: name } = context.req.valid("param")
    await refuseConfiguredAccount(sql, providers, provider, name)
    const { weight, region, disabled: isDisabled, ...secrets } = context.req.valid("json")
    const at = await shown(sql, providers, provider)
    const before = at.accounts.find((account) => account.name === name)
    const secret = secretIn(secrets, at, region === undefined ? (before?.region ?? null) : region)
    const changes = { secret, weight, region, isDisabled }
    requireAccount(
      await updateAccount(sql, providers.box, actorOf(context), { provider, name }, changes),
      provider,
      name,
    )
    await directory.changed()
    return context.json(await shownAccount(sql, providers, provider, name), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/providers/{name}/accounts/{account}",
    middleware: WRITE,
    request: { params: accountParams },
    responses: answers(200, "The account as it stood; its credential is deleted with it.", accountOutput),
  })
  app.openapi(remove, async (context) => {
    context.get("access").onInstallation()
    const { name: provider, account: name } = context.req.valid("param")
    await refuseConfiguredAccount(sql, providers, provider, name)
    const before = await shownAccount(sql, providers, provider, name)
    if (!(await deleteAccount(sql, actorOf(context), { provider, name }))) missingAccount(provider, name)()
    await directory.changed()
    return context.json(before, 200)
  })
}

type Sql = AdminOptions["sql"]
type Providers = AdminOptions["providers"]

/** The secret that a body gives an account; undefined where it gives none. */
function secretIn(members: AwsKeyMembers, provider: ShownProvider, region: string | null) {
  const { dialect, base_url: baseUrl } = provider
  const fault = awsKeyFault(members, { dialect, baseUrl, region: region || provider.region })
  if (fault !== null)
    throw new ApiError("invalid_request", `\`${fault.member}\` must be ${fault.expected}.`, { param: fault.member })
  const { api_key, access_key_id: accessKeyId, secret_access_key: secretAccessKey, session_token } = members
  if (accessKeyId === undefined || secretAccessKey === undefined) return api_key
  return { accessKeyId, secretAccessKey, sessionToken: session_token ?? null }
}

async function shown(sql: Sql, providers: Providers, name: string): Promise<ShownProvider> {
  return (await listProviders(sql, providers)).find((one) => one.name === name) ?? missingProvider(name)()
}

async function shownAccount(sql: Sql, providers: Providers, provider: string, name: string): Promise<ShownAccount> {
  const { accounts } = await shown(sql, providers, provider)
  return accounts.find((account) => account.name === name) ?? missingAccount(provider, name)()
}

/** A provider of the configuration is changed there. */
function refuseConfigured(providers: Providers, name: string): void {
  if (!providers.configured().some((one) => one.name === name)) return
  const message =
    `The provider \`${name}\` stands in the configuration (or is built in), which counts before what is made here. ` +
    "Change it there; accounts can be added to it here."
  throw new ApiError("conflict", message, { param: "name" })
}

async function refuseConfiguredAccount(sql: Sql, providers: Providers, provider: string, name: string): Promise<void> {
  const account = await shownAccount(sql, providers, provider, name)
  // One that the configuration stands before can still be changed and deleted here.
  if (account.source === "database" || account.shadows_database) return
  const message = `The account \`${provider}/${name}\` stands in the configuration. Change it there.`
  throw new ApiError("conflict", message, { param: "account" })
}

function requireProvider(changed: ChangedProvider, name: string): void {
  if (changed.kind === "done") return
  if (changed.kind === "missing") missingProvider(name)()
  if (changed.kind === "no key") throw noEncryptionKey("Credentials are", "headers")
  throw new ApiError("conflict", `There is a provider \`${name}\` already.`, { param: "name" })
}

function requireAccount(changed: ChangedAccount, provider: string, name: string): void {
  if (changed.kind === "done") return
  if (changed.kind === "missing") missingAccount(provider, name)()
  if (changed.kind === "no key") throw noEncryptionKey("Credentials are", "api_key")
  takenAccount(provider, name)
}

function takenAccount(provider: string, name: string): never {
  throw new ApiError("conflict", `The provider \`${provider}\` has an account \`${name}\` already.`, { param: "name" })
}

function missingProvider(name: string): () => never {
  return missingThing("provider", name, "name")
}

function missingAccount(provider: string, name: string): () => never {
  return missingThing("provider account", `${provider}/${name}`, "account")
}
