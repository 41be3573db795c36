/** Google's Gemini API as the fake account answers it, its OpenAI-compatible endpoint included. */
import { openAiAnswer } from "./fake-openai.ts"
import type { FakeAccount, FakeAnswer, FakeRequest } from "./fake-provider.ts"

export const GENERATE_USAGE = {
  promptTokenCount: 70,
  cachedContentTokenCount: 20,
  candidatesTokenCount: 15,
  thoughtsTokenCount: 5,
  totalTokenCount: 90,
}

export const INTERACTION_USAGE = {
  total_input_tokens: 20,
  total_cached_tokens: 8,
  total_output_tokens: 9,
  total_thought_tokens: 30,
  total_tool_use_tokens: 120,
  total_tokens: 179,
}

export function googleAnswer(account: FakeAccount, request: FakeRequest): FakeAnswer {
  const [sent = "", query = ""] = request.path.split("?")
  // The versions do not differ here.
  const path = sent.replace(/^(\/upload)?\/v1\//, "$1/v1beta/")
  if (path.startsWith("/v1beta/openai/")) {
    return openAiAnswer(account, { ...request, path: `/v1/${path.slice("/v1beta/openai/".length)}` })
  }
  const action = /^\/v1beta\/models\/([^:]+):(\w+)$/.exec(path)
  if (action !== null) return act(action[1] ?? "", action[2] ?? "", query)
  if (path.startsWith("/upload/v1beta/files")) return upload(account, request)
  const [, , collection = "", id] = path.split("/")
  if (collection === "interactions") return interaction(account, request, id)
  if (collection !== "files" && collection !== "cachedContents") return notFound(path)
  if (id === undefined) return request.method === "POST" ? make(account, collection) : list(account, collection)
  const object = account.objects.get(`${collection}/${id}`)
  if (object === undefined) return notFound(path)
  if (request.method === "DELETE") {
    account.objects.delete(`${collection}/${id}`)
    return { body: {} }
  }
  return { body: object }
}

function act(model: string, action: string, query: string): FakeAnswer {
  switch (action) {
    case "countTokens":
      return { body: { totalTokens: 8 } }
    case "embedContent":
      return { body: { embedding: { values: [0.1] } } }
    case "streamGenerateContent": {
      const parts = [chunk(model, "Hello", { promptTokenCount: 70 }), chunk(model, " there.", GENERATE_USAGE)]
      if (query.includes("alt=sse")) return { body: parts.map((part) => `data: ${JSON.stringify(part)}\r\n\r\n`) }
      return { body: parts }
    }
    default:
      return { body: chunk(model, "Hello there.", GENERATE_USAGE) }
  }
}

function chunk(model: string, text: string, usageMetadata: object): object {
  const candidates = [{ content: { role: "model", parts: [{ text }] }, finishReason: "STOP", index: 0 }]
  return { candidates, usageMetadata, modelVersion: model, responseId: "resp-google-1" }
}

function make(account: FakeAccount, collection: string): FakeAnswer {
  const name = `${collection}/${account.mint("g")}`
  account.objects.set(name, { name })
  return { body: { name } }
}

/** Unlike Google's other objects it is named by its id alone. One in the background is done when it is asked for. */
function interaction(account: FakeAccount, { method, json }: FakeRequest, id: string | undefined): FakeAnswer {
  if (id === undefined) {
    const made = {
      id: account.mint("v1_"),
      object: "interaction",
      model: json.model ?? null,
      usage: INTERACTION_USAGE,
    }
    account.objects.set(made.id, { ...made, status: "completed" })
    if (json.background !== true) return { body: { ...made, status: "completed" } }
    return { body: { id: made.id, object: made.object, model: made.model, status: "in_progress" } }
  }
  const object = account.objects.get(id)
  if (object === undefined) return notFound(id)
  if (method === "DELETE") account.objects.delete(id)
  return { body: method === "DELETE" ? {} : object }
}

function upload(account: FakeAccount, request: FakeRequest): FakeAnswer {
  if (request.headers["x-goog-upload-command"] === "start") {
    const url = `http://${request.headers.host}/upload/google/v1beta/files?upload_id=u1`
    return { body: {}, headers: { "x-goog-upload-url": url, "x-goog-upload-status": "active" } }
  }
  const name = `files/${account.mint("g")}`
  const file = { name, uri: `https://generativelanguage.googleapis.com/v1beta/${name}`, sizeBytes: request.body.length }
  account.objects.set(name, file)
  return { body: { file }, headers: { "x-goog-upload-status": "final" } }
}

function list(account: FakeAccount, collection: string): FakeAnswer {
  return {
    body: { [collection]: [...account.objects.values()].filter(({ name }) => String(name).startsWith(collection)) },
  }
}

function notFound(path: string): FakeAnswer {
  return { status: 404, body: { error: { code: 404, message: `Not found: ${path}`, status: "NOT_FOUND" } } }
}
