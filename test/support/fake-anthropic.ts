/** Anthropic's API as the fake account answers it, its OpenAI-compatible endpoint included. */
import { openAiAnswer } from "./fake-openai.ts"
import type { FakeAccount, FakeAnswer, FakeRequest } from "./fake-provider.ts"

export const MESSAGES_USAGE = {
  input_tokens: 40,
  cache_creation_input_tokens: 10,
  cache_read_input_tokens: 60,
  output_tokens: 25,
  service_tier: "standard",
}

export function anthropicAnswer(account: FakeAccount, request: FakeRequest): FakeAnswer {
  const path = request.path.split("?")[0] ?? ""
  if (path === "/v1/chat/completions") return openAiAnswer(account, request)
  if (path === "/v1/messages") return messages(request)
  if (path === "/v1/messages/count_tokens") return { body: { input_tokens: 14 } }
  if (path === "/v1/messages/batches") return batches(account, request)
  if (path === "/v1/files") return files(account, request)
  const [, , ...segments] = path.split("/")
  const id = segments[0] === "files" ? segments[1] : segments[2]
  const object = account.objects.get(id ?? "")
  if (object === undefined) return notFound(path)
  if (segments.at(-1) === "results") return { body: results(), headers: { "content-type": "application/x-jsonl" } }
  if (segments.at(-1) === "content") return { body: object.content ?? Buffer.from("content") }
  if (request.method === "DELETE") account.objects.delete(id ?? "")
  return { body: { id, type: object.type } }
}

function messages({ json }: FakeRequest): FakeAnswer {
  const message = { id: "msg_1", type: "message", role: "assistant", model: json.model, stop_reason: "end_turn" }
  if (json.stream !== true) {
    return { body: { ...message, content: [{ type: "text", text: "Hello there." }], usage: MESSAGES_USAGE } }
  }
  const event = (type: string, more: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
  return {
    body: [
      event("message_start", {
        message: { ...message, content: [], stop_reason: null, usage: { ...MESSAGES_USAGE, output_tokens: 1 } },
      }),
      event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
      event("content_block_delta", { index: 0, delta: { type: "text_delta", text: "Hello there." } }),
      event("content_block_stop", { index: 0 }),
      event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 25 } }),
      event("message_stop", {}),
    ],
  }
}

function batches(account: FakeAccount, request: FakeRequest): FakeAnswer {
  if (request.method === "GET") return list(account, "message_batch")
  const id = account.mint("msgbatch_")
  const batch = { id, type: "message_batch", processing_status: "in_progress" }
  account.objects.set(id, batch)
  return { body: batch }
}

function files(account: FakeAccount, request: FakeRequest): FakeAnswer {
  if (request.method === "GET") return list(account, "file")
  const id = account.mint("file_")
  account.objects.set(id, { id, type: "file", content: request.body })
  return { body: { id, type: "file", size_bytes: request.body.length } }
}

function list(account: FakeAccount, type: string): FakeAnswer {
  const data = [...account.objects.values()].filter((object) => object.type === type).map(({ id }) => ({ id, type }))
  return { body: { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null } }
}

function results(): Buffer {
  const line = (customId: string) => ({
    custom_id: customId,
    result: { type: "succeeded", message: { id: "msg_1", model: "claude-sonnet-4-5", usage: MESSAGES_USAGE } },
  })
  return Buffer.from(`${JSON.stringify(line("a"))}\n${JSON.stringify(line("b"))}\n`)
}

function notFound(path: string): FakeAnswer {
  return { status: 404, body: { type: "error", error: { type: "not_found_error", message: `Not found: ${path}` } } }
}
