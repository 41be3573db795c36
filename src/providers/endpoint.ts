/**
 * Every endpoint that Tallygate knows, in one table: how it is called, how its bytes are read, what
 * decides where a call goes, and which provider object it makes, uses or lists. Paths stand without the API's version,
 * as they follow a provider's base URL. (OpenAI API reference; Anthropic API reference; Gemini API reference.)
 */
import type { ProviderObjectKind } from "../identity/provider-object.ts"
import { anthropicBatchResults } from "./anthropic-batch.ts"
import { anthropicCountTokens, anthropicMessages } from "./anthropic-messages.ts"
import { deploymentsOf } from "./azure-deployments.ts"
import type { Api, Dialect, SharedApi } from "./dialect.ts"
import { type Endpoint, modelCall, type ObjectUse } from "./endpoint-row.ts"
import { googleCountTokens, googleEmbed, googlePredict } from "./google-embed.ts"
import { googleGenerate } from "./google-generate.ts"
import { googleInteractions } from "./google-interactions.ts"
import { NATIVE_ENDPOINTS } from "./native-endpoints.ts"
import { anthropicObject, googleObject, openAiObject } from "./object-call.ts"
import { openAiSpeech, openAiTranscription } from "./openai-audio.ts"
import { openAiBatchOutput } from "./openai-batch.ts"
import { openAiChat } from "./openai-chat.ts"
import { openAiCompletions } from "./openai-completions.ts"
import { openAiEmbeddings, openAiModerations, openAiRerank } from "./openai-embeddings.ts"
import { openAiImages } from "./openai-images.ts"
import { openAiResponses } from "./openai-responses.ts"
import { boundCompaction } from "./openai-responses-bound.ts"
import { vertexRaw, vertexRawStream } from "./vertex-raw.ts"

export type { Endpoint, ObjectUse }

type Method = "GET" | "POST" | "PATCH" | "DELETE" | "*"

const OBJECT_DIALECTS: Readonly<Record<Api, Dialect>> = {
  openai: openAiObject,
  anthropic: anthropicObject,
  google: googleObject,
  // Nothing that these keep is known here.
  cohere: openAiObject,
  bedrock: openAiObject,
  ollama: openAiObject,
  elevenlabs: openAiObject,
}

function object(
  api: SharedApi,
  kind: ProviderObjectKind,
  [name, method, path]: readonly [name: string, method: Method, path: string],
  act: ObjectUse["act"],
  laterUsage: Dialect | null = null,
): Endpoint<SharedApi> {
  const dialect = OBJECT_DIALECTS[api]
  return { name, api, method, path, dialect, routedBy: "object", object: { kind, act, laterUsage }, isMetered: true }
}

/** Create, list, retrieve, change and delete, as nearly all kinds of objects have them. */
function life(api: SharedApi, kind: ProviderObjectKind, name: string, path: string): Endpoint<SharedApi>[] {
  return [
    object(api, kind, [`${name}.create`, "POST", path], "create"),
    object(api, kind, [`${name}.list`, "GET", path], "list"),
    object(api, kind, [`${name}.retrieve`, "GET", `${path}/{id}`], "use"),
    object(api, kind, [`${name}.update`, "POST", `${path}/{id}`], "use"),
    object(api, kind, [`${name}.update`, "PATCH", `${path}/{id}`], "use"),
    object(api, kind, [`${name}.delete`, "DELETE", `${path}/{id}`], "delete"),
  ]
}

function within(api: SharedApi, kind: ProviderObjectKind, name: string, path: string): Endpoint<SharedApi> {
  return object(api, kind, [name, "*", `${path}/{id}/*`], "use")
}

/** Compacting takes no bound of its output. */
const openAiCompaction: Dialect = {
  ...openAiResponses,
  bound: boundCompaction,
  rewriteRequest: (body, facts, rewrite, form) =>
    openAiResponses.rewriteRequest(body, facts, { ...rewrite, outputTokensMax: null }, form),
}

const OPENAI: readonly Endpoint<SharedApi>[] = [
  modelCall("openai", "chat.completions", "/chat/completions", openAiChat),
  modelCall("openai", "responses", "/responses", openAiResponses, "response"),
  modelCall("openai", "responses.compact", "/responses/compact", openAiCompaction),
  modelCall("openai", "completions", "/completions", openAiCompletions),
  modelCall("openai", "embeddings", "/embeddings", openAiEmbeddings),
  // Voyage's, and what others have under the same names: by the token, all of it input.
  modelCall("openai", "rerank", "/rerank", openAiRerank),
  modelCall("openai", "multimodalembeddings", "/multimodalembeddings", openAiRerank),
  modelCall("openai", "moderations", "/moderations", openAiModerations),
  modelCall("openai", "images.generations", "/images/generations", openAiImages),
  modelCall("openai", "images.edits", "/images/edits", openAiImages),
  modelCall("openai", "images.variations", "/images/variations", openAiImages),
  modelCall("openai", "audio.speech", "/audio/speech", openAiSpeech),
  modelCall("openai", "audio.transcriptions", "/audio/transcriptions", openAiTranscription),
  modelCall("openai", "audio.translations", "/audio/translations", openAiTranscription),
  object("openai", "response", ["responses.retrieve", "GET", "/responses/{id}"], "use", openAiResponses),
  object("openai", "response", ["responses.delete", "DELETE", "/responses/{id}"], "delete"),
  object("openai", "response", ["responses.cancel", "POST", "/responses/{id}/cancel"], "use", openAiResponses),
  object("openai", "response", ["responses.input_items", "GET", "/responses/{id}/input_items"], "use"),
  ...life("openai", "file", "files", "/files"),
  object("openai", "file", ["files.content", "GET", "/files/{id}/content"], "use", openAiBatchOutput),
  ...life("openai", "batch", "batches", "/batches"),
  object("openai", "batch", ["batches.cancel", "POST", "/batches/{id}/cancel"], "use"),
  ...life("openai", "vector_store", "vector_stores", "/vector_stores"),
  within("openai", "vector_store", "vector_stores.contents", "/vector_stores"),
  object("openai", "upload", ["uploads.create", "POST", "/uploads"], "create"),
  within("openai", "upload", "uploads.parts", "/uploads"),
  ...life("openai", "container", "containers", "/containers"),
  within("openai", "container", "containers.files", "/containers"),
  ...life("openai", "conversation", "conversations", "/conversations"),
  within("openai", "conversation", "conversations.items", "/conversations"),
  // A job's price is known when it is done, in seconds of video; nobody here reads that yet.
  ...life("openai", "video", "videos", "/videos").map(asUnmetered),
  asUnmetered(within("openai", "video", "videos.content", "/videos")),
]

const ANTHROPIC: readonly Endpoint<SharedApi>[] = [
  modelCall("anthropic", "messages", "/messages", anthropicMessages),
  modelCall("anthropic", "messages.count_tokens", "/messages/count_tokens", anthropicCountTokens),
  ...life("anthropic", "message_batch", "messages.batches", "/messages/batches"),
  object(
    "anthropic",
    "message_batch",
    ["messages.batches.results", "GET", "/messages/batches/{id}/results"],
    "use",
    anthropicBatchResults,
  ),
  within("anthropic", "message_batch", "messages.batches.cancel", "/messages/batches"),
  ...life("anthropic", "file", "files", "/files"),
  within("anthropic", "file", "files.content", "/files"),
]

const GOOGLE: readonly Endpoint<SharedApi>[] = [
  modelCall("google", "generate_content", "/models/{model}:generateContent", googleGenerate),
  modelCall("google", "stream_generate_content", "/models/{model}:streamGenerateContent", googleGenerate),
  modelCall("google", "embed_content", "/models/{model}:embedContent", googleEmbed),
  modelCall("google", "batch_embed_contents", "/models/{model}:batchEmbedContents", googleEmbed),
  modelCall("google", "count_tokens", "/models/{model}:countTokens", googleCountTokens),
  modelCall("google", "predict", "/models/{model}:predict", googlePredict),
  modelCall("google", "raw_predict", "/models/{model}:rawPredict", vertexRaw),
  modelCall("google", "stream_raw_predict", "/models/{model}:streamRawPredict", vertexRawStream),
  modelCall("google", "interactions", "/interactions", googleInteractions, "interaction"),
  object("google", "interaction", ["interactions.retrieve", "GET", "/interactions/{id}"], "use", googleInteractions),
  object("google", "interaction", ["interactions.delete", "DELETE", "/interactions/{id}"], "delete"),
  object(
    "google",
    "interaction",
    ["interactions.cancel", "POST", "/interactions/{id}/cancel"],
    "use",
    googleInteractions,
  ),
  ...life("google", "cached_content", "cached_contents", "/cachedContents"),
  ...life("google", "file", "files", "/files"),
  object("google", "file", ["files.create", "POST", "/upload/files"], "create"),
]

function asUnmetered<A extends Api>(endpoint: Endpoint<A>): Endpoint<A> {
  return { ...endpoint, isMetered: false }
}

/** Those of the APIs that have doors of their own. */
export const ENDPOINTS: readonly Endpoint<SharedApi>[] = [...OPENAI, ...ANTHROPIC, ...GOOGLE]
const EVERY: readonly Endpoint[] = [...ENDPOINTS, ...NATIVE_ENDPOINTS]

/** Paths of the calls to models that an API has. */
export function modelPathsOf(api: Api): string[] {
  return EVERY.filter((endpoint) => endpoint.api === api && endpoint.routedBy === "model").map(({ path }) => path)
}

const UNMETERED: Readonly<Record<Api, Endpoint>> = {
  openai: unmeteredOf("openai"),
  anthropic: unmeteredOf("anthropic"),
  google: unmeteredOf("google"),
  cohere: unmeteredOf("cohere"),
  bedrock: unmeteredOf("bedrock"),
  ollama: unmeteredOf("ollama"),
  elevenlabs: unmeteredOf("elevenlabs"),
}

/** Stands for whatever an API has besides the endpoints that are known. */
export function unmetered(api: Api): Endpoint {
  return UNMETERED[api]
}

function unmeteredOf(api: Api): Endpoint {
  const dialect = OBJECT_DIALECTS[api]
  return {
    name: "unmetered",
    api,
    method: "*",
    path: "/*",
    dialect,
    routedBy: "object",
    object: null,
    isMetered: false,
  }
}

/** What a path says besides which endpoint it is. */
export type EndpointMatch = {
  readonly endpoint: Endpoint
  /** The object that the path names, as its owner entered it; null where it names none. */
  readonly objectId: string | null
  /** The model that the path names (Google, Bedrock); null where the body does. */
  readonly model: string | null
}

/** Paths without a variable segment, which nearly every call has, are found at once. */
const FIXED = new Map(
  EVERY.filter(({ path }) => !/[{*]/.test(path)).map((endpoint) => [keyOf(endpoint.api, endpoint), endpoint]),
)
const VARIABLE = ENDPOINTS.filter(({ path }) => path.includes("{id}"))
const ACTIONS = new Map(
  GOOGLE.flatMap((endpoint) => {
    const action = /\{model\}:(\w+)$/.exec(endpoint.path)?.[1]
    return action === undefined ? [] : [[action, endpoint] as const]
  }),
)
/** Those of the other APIs with a segment that varies, and of Azure's deployments, as what matches them. */
const NATIVE = [...NATIVE_ENDPOINTS, ...deploymentsOf(OPENAI)]
  .filter(({ path }) => path.includes("{"))
  .map((endpoint) => ({
    endpoint,
    pattern: new RegExp(`^${endpoint.path.replace("{model}", "([^/]{1,256})").replace("{any}", "[^/]{1,256}")}$`),
  }))
const MODEL_ACTION = /^\/(models|tunedModels)\/([^/:]{1,256}):(\w{1,64})$/

/** The endpoint of an API behind a method and a path; null where none is known. */
export function matchEndpoint(api: Api, method: string, path: string): EndpointMatch | null {
  const fixed = FIXED.get(keyOf(api, { method, path }))
  if (fixed !== undefined) return { endpoint: fixed, objectId: null, model: null }
  if (api === "google") {
    const action = MODEL_ACTION.exec(path)
    if (action !== null) return matchAction(method, action)
  }
  for (const { endpoint, pattern } of NATIVE) {
    if (endpoint.api !== api || endpoint.method !== method) continue
    const named = pattern.exec(path)
    if (named === null) continue
    const model = named[1] === undefined ? null : decodedOrNull(named[1])
    return { endpoint, objectId: null, model }
  }
  const segments = path.split("/")
  for (const endpoint of VARIABLE) {
    if (endpoint.api !== api || (endpoint.method !== method && endpoint.method !== "*")) continue
    const id = idIn(endpoint.path.split("/"), segments)
    if (id !== null) return { endpoint, objectId: objectIdOf(endpoint, segments[1] ?? "", id), model: null }
  }
  return null
}

/** The methods that a known path takes; none where the path is not known at all. */
export function methodsOf(api: Api, path: string): string[] {
  return ["GET", "POST", "PATCH", "DELETE"].filter((method) => matchEndpoint(api, method, path) !== null)
}

function keyOf(api: Api, { method, path }: { readonly method: string; readonly path: string }): string {
  return `${api} ${method} ${path}`
}

function matchAction(method: string, [, collection, name, action]: RegExpExecArray): EndpointMatch | null {
  const endpoint = ACTIONS.get(action ?? "")
  if (endpoint === undefined || method !== endpoint.method || name === undefined) return null
  const decoded = decodedOrNull(name)
  if (decoded === null) return null
  return { endpoint, objectId: null, model: collection === "models" ? decoded : `${collection}/${decoded}` }
}

/** The segment at `{id}`; null where the path is another one. */
function idIn(pattern: readonly string[], segments: readonly string[]): string | null {
  const isOpen = pattern.at(-1) === "*"
  if (isOpen ? segments.length < pattern.length : segments.length !== pattern.length) return null
  let id = ""
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? ""
    if (part === "{id}") id = segment
    else if (part !== "*" && part !== segment) return null
  }
  return id === "" || segments.some((segment, index) => index > 0 && segment === "") ? null : decodedOrNull(id)
}

/**
 * Google names its objects with their collection, and what is to be done with one behind a colon: `files/abc:download`;
 * all but interactions.
 */
function objectIdOf(endpoint: Endpoint, collection: string, id: string): string {
  if (endpoint.object?.kind === "interaction") return id
  return endpoint.api === "google" ? `${collection}/${id.replace(/:\w+$/, "")}` : id
}

function decodedOrNull(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
