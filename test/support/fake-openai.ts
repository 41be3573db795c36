/** OpenAI's API as the fake account answers it. Every token figure is fixed, so that a test can say what a record holds. */
import type { FakeAccount, FakeAnswer, FakeRequest } from "./fake-provider.ts"

export const CHAT_USAGE = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 }
export const RESPONSES_USAGE = {
  input_tokens: 200,
  input_tokens_details: { cached_tokens: 50 },
  output_tokens: 30,
  output_tokens_details: { reasoning_tokens: 10 },
  total_tokens: 230,
}

type Maker = (account: FakeAccount, request: FakeRequest) => FakeAnswer

const MADE: Readonly<Record<string, readonly [prefix: string, object: string]>> = {
  files: ["file-", "file"],
  batches: ["batch_", "batch"],
  vector_stores: ["vs_", "vector_store"],
  uploads: ["upload_", "upload"],
  containers: ["cntr_", "container"],
  conversations: ["conv_", "conversation"],
  videos: ["video_", "video"],
}

const CALLS: Readonly<Record<string, Maker>> = {
  "/v1/chat/completions": (_account, { json }) =>
    json.stream === true ? { body: chatEvents(String(json.model)) } : { body: chatAnswer(String(json.model)) },
  "/v1/responses": createResponse,
  "/v1/completions": (_account, { json }) => ({
    body: { id: "cmpl-1", object: "text_completion", model: json.model, choices: [{ text: "Hi" }], usage: CHAT_USAGE },
  }),
  "/v1/embeddings": (_account, { json }) => ({
    body: {
      object: "list",
      model: json.model,
      data: [{ object: "embedding", index: 0, embedding: [0.1, 0.2] }],
      usage: { prompt_tokens: 9, total_tokens: 9 },
    },
  }),
  "/v1/rerank": (_account, { json }) => ({
    body: { object: "list", model: json.model, data: [{ index: 0, relevance_score: 0.5 }], usage: { total_tokens: 9 } },
  }),
  "/v1/multimodalembeddings": (_account, { json }) => ({
    body: { object: "list", model: json.model, data: [{ index: 0, embedding: [0.1] }], usage: { total_tokens: 9 } },
  }),
  "/v1/moderations": () => ({ body: { id: "modr-1", model: "omni-moderation-latest", results: [{ flagged: false }] } }),
  "/v1/images/generations": () => ({
    body: {
      created: 1,
      data: [{ b64_json: "aGk=" }],
      usage: {
        input_tokens: 12,
        input_tokens_details: { text_tokens: 12, image_tokens: 0 },
        output_tokens: 1000,
        total_tokens: 1012,
      },
    },
  }),
  "/v1/audio/speech": () => ({ body: Buffer.alloc(3000, 7), headers: { "content-type": "audio/mpeg" } }),
  "/v1/audio/transcriptions": () => ({ body: { text: "hello", usage: { type: "duration", seconds: 12 } } }),
  "/v1/audio/translations": () => ({ body: { text: "hello" } }),
}

export function openAiAnswer(account: FakeAccount, request: FakeRequest): FakeAnswer {
  const path = request.path.split("?")[0] ?? ""
  const [, , collection = "", id, ...rest] = path.split("/")
  const call = CALLS[path]
  if (request.method === "POST" && call !== undefined) return call(account, request)
  const made = MADE[collection]
  if (made === undefined && collection !== "responses") return notFound(`Invalid URL (${request.method} ${path})`)
  if (id === undefined && made !== undefined) {
    return request.method === "POST" ? make(account, request, made) : list(account, request, made[1])
  }
  const object = account.objects.get(id ?? "")
  if (object === undefined) return notFound(`No such object: ${id}`)
  if (rest[0] === "content") return { body: object.content ?? Buffer.from("content") }
  if (rest[0] === "complete") return complete(account, object)
  if (rest.length > 0) return { body: { object: "list", data: [], has_more: false } }
  if (request.method === "DELETE") {
    account.objects.delete(id ?? "")
    return { body: { id, object: object.object, deleted: true } }
  }
  return { body: shown(object) }
}

function make(account: FakeAccount, request: FakeRequest, [prefix, object]: readonly [string, string]): FakeAnswer {
  const made = { id: account.mint(prefix), object, status: "created", bytes: request.body.length }
  account.objects.set(made.id, { ...made, content: request.body })
  return { body: made }
}

function list(account: FakeAccount, request: FakeRequest, object: string): FakeAnswer {
  const query = new URLSearchParams(request.path.split("?")[1] ?? "")
  const all = [...account.objects.values()].filter((candidate) => candidate.object === object).reverse()
  const after = query.get("after")
  const from = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1
  const limit = Number(query.get("limit") ?? 2)
  const data = all.slice(from, from + limit).map(shown)
  const body = { object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
  return { body: { ...body, has_more: from + limit < all.length } }
}

function complete(account: FakeAccount, upload: Record<string, unknown>): FakeAnswer {
  const file = { id: account.mint("file-"), object: "file" }
  account.objects.set(file.id, file)
  return { body: { ...shown(upload), status: "completed", file } }
}

function createResponse(account: FakeAccount, { json }: FakeRequest): FakeAnswer {
  const id = account.mint("resp_")
  const base = {
    id,
    object: "response",
    model: json.model,
    service_tier: "default",
    background: json.background === true,
  }
  const output = [{ type: "message", content: [{ type: "output_text", text: "Hello there." }] }]
  const done = { ...base, status: "completed", output, usage: RESPONSES_USAGE }
  account.objects.set(id, done)
  const queued = { ...base, status: "queued", output: [], usage: null }
  if (json.background === true && json.stream !== true) return { body: queued }
  if (json.stream !== true) return { body: done }
  const event = (type: string, more: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
  return {
    body: [
      event("response.created", { response: { ...queued, status: "in_progress" } }),
      event("response.output_text.delta", { delta: "Hello there." }),
      event("response.completed", { response: done }),
    ],
  }
}

function chatAnswer(model: string): object {
  const message = { role: "assistant", content: "Hello there." }
  const choices = [{ index: 0, message, finish_reason: "stop" }]
  return { id: "chatcmpl-1", object: "chat.completion", created: 1, model, choices, usage: CHAT_USAGE }
}

function chatEvents(model: string): string[] {
  const chunk = (more: object) =>
    `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model, ...more })}\n\n`
  return [
    chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "Hello" } }] }),
    chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
    chunk({ choices: [], usage: CHAT_USAGE }),
    "data: [DONE]\n\n",
  ]
}

function shown({ content: _content, ...object }: Record<string, unknown>): Record<string, unknown> {
  return object
}

function notFound(message: string): FakeAnswer {
  return { status: 404, body: { error: { message, type: "invalid_request_error", param: null, code: null } } }
}
