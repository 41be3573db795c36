/** Objects that a provider makes while it answers a call, and paths beneath an object, belong to whom the object belongs to. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let owner: string
let other: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider, "provider_objects: { adopt_unknown: true }"))
  owner = (await app.createKey()).key
  other = (await app.createKey()).key
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

function send(key: string, method: string, path: string, body?: object) {
  return fetch(app.url + path, {
    method,
    headers: { "x-tallygate-key": key, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

const usage = { input_tokens: 5, output_tokens: 5 }

describe("a container that a response runs its code in", () => {
  const output = [{ type: "code_interpreter_call", id: "ci_1", container_id: "cntr_json", status: "completed" }]
  const response = { id: "resp_c", object: "response", model: "gpt-4o-mini", status: "completed", output, usage }

  test("is its key's", async () => {
    provider.enqueue({ body: response })
    expect((await send(owner, "POST", "/v1/responses", { model: "gpt-4o-mini", input: "Hi" })).status).toBe(200)
    provider.reset()
    expect((await send(other, "GET", "/v1/containers/cntr_json/files")).status).toBe(404)
    expect(provider.requests).toEqual([])
    await send(owner, "GET", "/v1/containers/cntr_json/files")
    expect(provider.requests).toHaveLength(1)
  })
  test("is its key's where the response streamed", async () => {
    const streamed = { ...response, id: "resp_s", output: [{ ...output[0], container_id: "cntr_sse" }] }
    const data = JSON.stringify({ type: "response.completed", response: streamed })
    provider.enqueue({ body: [`event: response.completed\ndata: ${data}\n\n`] })
    await (await send(owner, "POST", "/v1/responses", { model: "gpt-4o-mini", input: "Hi", stream: true })).text()
    provider.reset()
    expect((await send(other, "GET", "/v1/containers/cntr_sse")).status).toBe(404)
    expect(provider.requests).toEqual([])
  })
})

describe("a container that a message runs its code in", () => {
  test("is its key's, to go on with", async () => {
    const message = { id: "msg_c", type: "message", model: "claude-sonnet-4-5", content: [], usage }
    provider.enqueue({ body: { ...message, container: { id: "container_born", expires_at: "2026-12-01T00:00:00Z" } } })
    const asked = { model: "smart", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] }
    expect((await send(owner, "POST", "/v1/messages", asked)).status).toBe(200)
    provider.reset()
    expect((await send(other, "POST", "/v1/messages", { ...asked, container: "container_born" })).status).toBe(404)
    expect(provider.requests).toEqual([])
    expect((await send(owner, "POST", "/v1/messages", { ...asked, container: "container_born" })).status).toBe(200)
  })
})

describe("what is done with a file of Google's behind a colon", () => {
  test("is its key's to do, and nobody's to take for another file", async () => {
    const made = (await (await send(owner, "POST", "/v1beta/files", {})).json()) as { name: string }
    provider.reset()
    const path = `/v1beta/${made.name}:download?alt=media`
    expect((await send(other, "GET", path)).status).toBe(403)
    expect(provider.requests).toEqual([])
    await send(owner, "GET", path)
    expect(provider.requests[0]?.path).toBe(`/google${path}`)
  })
})

test("an escape in a path makes no other object of one", async () => {
  const made = (await (await send(owner, "POST", "/v1/vector_stores", {})).json()) as { id: string }
  provider.reset()
  for (const path of [`${made.id}%20`, `${made.id}%3A`, `%76${made.id.slice(1)}`]) {
    expect((await send(other, "GET", `/v1/vector_stores/${path}`)).status, path).toBe(404)
  }
  expect(provider.requests).toEqual([])
})
