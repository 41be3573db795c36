/** Whose call it is, by the written precedence, and what a call says about itself. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { type NewKey, startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let usersMade = 0

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider, "attribution: { new_values_max: 3 }\n"))
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

/** An answer, as far as tests look into one. */
type Refusal = { readonly error: { readonly message: string } }
type Headers = Readonly<Record<string, string>>

const CALLS = {
  openai: ["/v1/chat/completions", { model: "fast", messages: [] }],
  responses: ["/v1/responses", { model: "fast", input: "Hi" }],
  embeddings: ["/v1/embeddings", { model: "text-embedding-3-small", input: "Hi" }],
  anthropic: ["/v1/messages", { model: "smart", max_tokens: 9, messages: [] }],
  google: ["/v1beta/models/quick:generateContent", { contents: [] }],
} as const
type Kind = keyof typeof CALLS

/** Header bytes as a client of another language sends them: UTF-8, which `fetch` takes as Latin-1. */
const utf8 = (text: string) => Buffer.from(text).toString("latin1")

async function call(key: string, headers: Headers = {}, more: object = {}, kind: Kind = "openai") {
  const [path, body] = CALLS[kind]
  const response = await fetch(app.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ ...body, ...more }),
  })
  return {
    status: response.status,
    body: (await response.json()) as Refusal,
    id: response.headers.get("x-request-id") ?? "",
  }
}

/** The record of a call that comes through. */
async function recordOf(key: string, headers: Headers = {}, more: object = {}, kind: Kind = "openai") {
  const { status, id } = await call(key, headers, more, kind)
  expect(status).toBe(200)
  return app.record(id)
}

const keyWith = async (wanted: NewKey = {}) => (await app.createKey(wanted)).key

async function createUser(): Promise<{ id: string; email: string }> {
  const email = `Person.${++usersMade}@Example.com`
  const { status, body } = await app.admin("POST", "/admin/v1/users", { name: `person ${usersMade}`, email })
  expect(status).toBe(201)
  return { id: body.id, email }
}

async function limitUser(userId: string, requests: number) {
  const limit = { scope: { user_id: userId }, kind: "requests", window: "day", cap: requests }
  expect(await app.admin("POST", "/admin/v1/limits", limit)).toMatchObject({ status: 201 })
}

describe("a key that is bound to a user", () => {
  test("is that user, whatever the header says", async () => {
    const [own, other] = [await createUser(), await createUser()]
    const key = await keyWith({ user_id: own.id, attribute_users: true })
    for (const named of [other.id, other.email, own.id, "nobody"]) {
      expect(await recordOf(key, { "x-tallygate-user": named })).toMatchObject({ user_id: own.id })
    }
  })

  test("is held to that user's limits and to no other's", async () => {
    const [own, other] = [await createUser(), await createUser()]
    await limitUser(own.id, 2)
    await limitUser(other.id, 1)
    const key = await keyWith({ user_id: own.id, attribute_users: true })
    const named = { "x-tallygate-user": other.id }
    const statuses = [await call(key, named), await call(key, named), await call(key, named)].map(
      ({ status }) => status,
    )
    expect(statuses).toEqual([200, 200, 429])
  })
})

test("a key that may not name users is nobody's, whatever the header says", async () => {
  const user = await createUser()
  await limitUser(user.id, 1)
  const key = await keyWith()
  for (const named of [user.id, user.email, "nobody", user.id]) {
    expect(await recordOf(key, { "x-tallygate-user": named })).toMatchObject({ user_id: "" })
  }
})

describe("a key that may name users", () => {
  test("names one by id, or by e-mail address in whatever case, by every door", async () => {
    const user = await createUser()
    const key = await keyWith({ attribute_users: true })
    for (const named of [user.id, user.email, user.email.toUpperCase(), user.email.toLowerCase()]) {
      for (const kind of ["openai", "anthropic", "google"] as const) {
        expect(await recordOf(key, { "x-tallygate-user": named }, {}, kind)).toMatchObject({ user_id: user.id })
      }
    }
  })

  test("need not: without the header the call is nobody's", async () => {
    expect(await recordOf(await keyWith({ attribute_users: true }))).toMatchObject({ user_id: "" })
  })

  test("is held to the limits of whom it names, and to its own", async () => {
    const [one, other] = [await createUser(), await createUser()]
    await limitUser(one.id, 2)
    const limits = [{ kind: "requests", window: "day", cap: 4 }]
    const key = await keyWith({ attribute_users: true, limits })
    const as = (named: string) => call(key, { "x-tallygate-user": named })
    expect(await as(one.id)).toMatchObject({ status: 200 })
    expect(await as(one.email)).toMatchObject({ status: 200 })
    const refused = await as(one.id)
    expect(refused).toMatchObject({ status: 429, body: { error: { code: "insufficient_quota" } } })
    expect(refused.body.error.message).toContain(`user ${one.id}`)
    expect(await as(other.id)).toMatchObject({ status: 200 })
    expect(await as(other.id)).toMatchObject({ status: 200 })
    expect((await as(other.id)).body.error.message).toContain("key key_")
    expect(provider.requests).toHaveLength(4)
  })

  test("shares a user's limit with the key that is bound to that user", async () => {
    const user = await createUser()
    await limitUser(user.id, 1)
    expect(await call(await keyWith({ user_id: user.id }))).toMatchObject({ status: 200 })
    const key = await keyWith({ attribute_users: true })
    expect(await call(key, { "x-tallygate-user": user.id })).toMatchObject({ status: 429 })
  })

  test("is told in its own dialect of a user that there is not, and nothing is forwarded", async () => {
    const key = await keyWith({ attribute_users: true })
    const named = { "x-tallygate-user": "nobody@example.com" }
    const param = "x-tallygate-user"
    const reason = { reason: "unknown_user", metadata: { param } }
    expect(await call(key, named)).toMatchObject({ status: 400, body: { error: { code: "unknown_user", param } } })
    expect(await call(key, named, {}, "anthropic")).toMatchObject({
      status: 400,
      body: { type: "error", error: { type: "invalid_request_error", code: "unknown_user" } },
    })
    expect(await call(key, named, {}, "google")).toMatchObject({
      status: 400,
      body: { error: { status: "INVALID_ARGUMENT", details: [reason] } },
    })
    expect(provider.requests).toEqual([])
  })

  test("finds nobody by an empty name, although users may have no e-mail address", async () => {
    await app.admin("POST", "/admin/v1/users", { name: "without an address" })
    const key = await keyWith({ attribute_users: true })
    expect(await call(key, { "x-tallygate-user": "" })).toMatchObject({ status: 400 })
  })
})

describe("a body", () => {
  test.each<[field: string, kind: Kind, more: (user: string) => object]>([
    ["user", "openai", (user) => ({ user })],
    ["safety_identifier", "openai", (user) => ({ safety_identifier: user })],
    ["safety_identifier before user", "openai", (user) => ({ safety_identifier: user, user: "somebody else" })],
    ["user", "responses", (user) => ({ user })],
    ["safety_identifier", "responses", (user) => ({ safety_identifier: user })],
    ["user", "embeddings", (user) => ({ user })],
    ["metadata.user_id", "anthropic", (user) => ({ metadata: { user_id: user } })],
  ])("names by its %s (%s) an end-customer and nobody else", async (_field, kind, more) => {
    const user = await createUser()
    await limitUser(user.id, 1)
    const key = await keyWith({ attribute_users: true })
    for (let calls = 0; calls < 2; calls++) {
      const record = await recordOf(key, {}, more(user.id), kind)
      expect(record).toMatchObject({ end_customer: user.id, user_id: "" })
    }
  })

  test("names its end-customer beside the user whom the header names", async () => {
    const user = await createUser()
    const key = await keyWith({ attribute_users: true })
    const record = await recordOf(key, { "x-tallygate-user": user.id }, { user: "customer-7" })
    expect(record).toMatchObject({ end_customer: "customer-7", user_id: user.id })
  })
})

describe("what a call says about itself", () => {
  test("stands on its record, and none of it goes upstream", async () => {
    const record = await recordOf(await keyWith(), {
      "x-tallygate-tool": "cli",
      "x-tallygate-operation": "summary",
      "x-tallygate-conversation": "c-1",
      "x-tallygate-tags": "a, b,,a",
      "x-tallygate-metadata": "team=red, run = 7, nothing",
    })
    expect(record).toMatchObject({
      tool: "cli",
      operation: "summary",
      conversation: "c-1",
      metadata: { team: "red", run: "7" },
    })
    // With the tool and the operation that makes four new values, and three are allowed.
    expect(record.tags).toEqual(["a", "other"])
    expect(provider.requests[0]?.rawHeaders.join("\n")).not.toMatch(/x-tallygate/i)
  })

  test("has other names: request-type is the operation, session the conversation; the first names come first", async () => {
    const key = await keyWith()
    const aliases = { "x-tallygate-request-type": "chat", "x-tallygate-session": "s-1" }
    expect(await recordOf(key, aliases)).toMatchObject({ operation: "chat", conversation: "s-1" })
    const both = { ...aliases, "x-tallygate-operation": "plan", "x-tallygate-conversation": "c-1" }
    expect(await recordOf(key, both)).toMatchObject({ operation: "plan", conversation: "c-1" })
  })

  test.each([
    ["ASCII", "x".repeat(200), "x".repeat(128)],
    ["characters of two bytes", `a${"é".repeat(100)}`, `a${"é".repeat(63)}`],
    ["characters of three bytes", "✨".repeat(60), "✨".repeat(42)],
    ["characters of four bytes", `ab${"😀".repeat(60)}`, `ab${"😀".repeat(31)}`],
  ])("is cut to 128 bytes, %s without splitting a character", async (_what, long, cut) => {
    const headers = {
      "x-tallygate-tool": utf8(long),
      "x-tallygate-conversation": utf8(long),
      "x-tallygate-tags": utf8(long),
    }
    const record = await recordOf(await keyWith(), headers, { user: long })
    expect(record).toMatchObject({ tool: cut, conversation: cut, tags: [cut], end_customer: cut })
  })

  test("of exactly 128 bytes is kept whole", async () => {
    const whole = "é".repeat(64)
    expect(await recordOf(await keyWith(), { "x-tallygate-tool": utf8(whole) })).toMatchObject({ tool: whole })
  })
})

describe("new_values_max: 3", () => {
  const toolOf = async (key: string, tool: string) => (await recordOf(key, { "x-tallygate-tool": tool })).tool

  test("records the fourth new tool of a key in an hour as other; known ones stay, and another key has its own", async () => {
    const key = await keyWith()
    const seen: string[] = []
    for (const tool of ["a", "b", "c", "d", "a", "e", "c"]) seen.push(await toolOf(key, tool))
    expect(seen).toEqual(["a", "b", "c", "other", "a", "other", "c"])
    expect(await toolOf(await keyWith(), "d")).toBe("d")
  })

  test("counts tools, operations and tags together, and leaves conversations and end-customers alone", async () => {
    const key = await keyWith()
    await recordOf(key, { "x-tallygate-tool": "t", "x-tallygate-operation": "o", "x-tallygate-tags": "g" })
    const fresh = {
      "x-tallygate-tool": "t2",
      "x-tallygate-operation": "o2",
      "x-tallygate-tags": "g,g2,g3",
      "x-tallygate-conversation": "c2",
    }
    expect(await recordOf(key, fresh, { user: "customer" })).toMatchObject({
      tool: "other",
      operation: "other",
      tags: ["g", "other"],
      conversation: "c2",
      end_customer: "customer",
    })
  })
})
