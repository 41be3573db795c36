/** A batch is no way round what a key may ask for: its requests are held against the key's models, endpoints and caps. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { type NewKey, startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

type Refusal = { readonly error: { readonly code: string; readonly message: string } }

async function outcome(response: Response) {
  const { error } = (await response.json()) as Partial<Refusal>
  return { status: response.status, code: error?.code, message: error?.message, reached: provider.requests.length }
}

const params = (model: string, maxTokens: number) => ({
  model,
  max_tokens: maxTokens,
  messages: [{ role: "user", content: "Hi" }],
})

/** Two requests at Anthropic, of which the second is the one in question. */
async function messages(wanted: NewKey, model: string, maxTokens: number) {
  const { key } = await app.createKey(wanted)
  const requests = [params("claude-haiku-4-5", 5), params(model, maxTokens)]
  const response = await fetch(`${app.url}/v1/messages/batches`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json" },
    body: JSON.stringify({ requests: requests.map((one, at) => ({ custom_id: String(at), params: one })) }),
  })
  return outcome(response)
}

/** The same as a file for OpenAI. */
async function file(wanted: NewKey, lines: readonly object[], purpose = "batch") {
  const { key } = await app.createKey(wanted)
  const form = new FormData()
  form.set("purpose", purpose)
  form.set("file", new Blob([lines.map((line) => `${JSON.stringify(line)}\n`).join("")]), "batch.jsonl")
  const headers = { authorization: `Bearer ${key}` }
  return outcome(await fetch(`${app.url}/v1/files`, { method: "POST", headers, body: form }))
}

const line = (model: string, maxTokens: number, url = "/v1/chat/completions") => ({
  custom_id: "a",
  method: "POST",
  url,
  body: params(model, maxTokens),
})

describe("messages at Anthropic", () => {
  const allowed = { allowed_models: ["claude-haiku-*"] }

  test("are let in one and all", async () => {
    expect(await messages(allowed, "claude-haiku-4-5", 5)).toMatchObject({ status: 200, reached: 1 })
  })
  test("are refused for one of another model", async () => {
    const refused = await messages(allowed, "claude-opus-4-1", 5)
    expect(refused).toMatchObject({ status: 403, code: "model_not_allowed", reached: 0 })
    expect(refused.message).toMatch(/^Request 2 of the batch: .*claude-opus-4-1/)
  })
  test("are refused for one that asks for more than a call may, whatever the policy", async () => {
    const refused = await messages({ max_output_tokens: 10 }, "claude-haiku-4-5", 11)
    expect(refused).toMatchObject({ status: 400, code: "call_too_large", reached: 0 })
    expect(await messages({ max_output_tokens: 10 }, "claude-haiku-4-5", 10)).toMatchObject({ status: 200 })
  })
  test("are refused for one that may cost more than a call may", async () => {
    const refused = await messages({ max_cost_usd: "0.01" }, "claude-opus-4-1", 100_000)
    expect(refused).toMatchObject({ status: 400, reached: 0 })
  })
})

describe("a file for OpenAI's batches", () => {
  const allowed = { allowed_models: ["gpt-4o-mini"] }

  test("is let in with what the key may ask for", async () => {
    expect(await file(allowed, [line("gpt-4o-mini", 5), line("gpt-4o-mini", 6)])).toMatchObject({ status: 200 })
  })
  test("is refused for a line of another model, endpoint or size, or one that cannot be read", async () => {
    const fine = line("gpt-4o-mini", 5)
    expect(await file(allowed, [fine, line("gpt-4o", 5)])).toMatchObject({ status: 403, code: "model_not_allowed" })
    const chat = { allowed_endpoints: ["chat.completions", "files.*"] }
    expect(await file(chat, [line("gpt-4o", 5, "/v1/responses")])).toMatchObject({ code: "endpoint_not_allowed" })
    expect(await file({ max_output_tokens: 5 }, [fine, line("gpt-4o-mini", 6)])).toMatchObject({ status: 400 })
    expect(await file(allowed, [fine, { url: "/v1/nowhere", body: {} }])).toMatchObject({ status: 400, reached: 0 })
  })
  test("is not looked into for a key without restrictions, nor where it is for something else", async () => {
    expect(await file({}, [line("gpt-4o", 5)])).toMatchObject({ status: 200 })
    expect(await file(allowed, [line("gpt-4o", 5)], "user_data")).toMatchObject({ status: 200 })
  })
  test("does not come in pieces from a key that is restricted", async () => {
    const { key } = await app.createKey(allowed)
    const response = await fetch(`${app.url}/v1/uploads`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ purpose: "batch", filename: "a.jsonl", bytes: 9, mime_type: "application/jsonl" }),
    })
    expect(await outcome(response)).toMatchObject({ status: 400, reached: 0 })
  })
})
