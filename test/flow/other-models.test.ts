/** One answer, several bills: models that were called on the way, and regions with prices of their own. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

const recordsOf = (keyId: string, count: number): Promise<UsageRecord[]> =>
  until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?limit=1000&key=${keyId}`)).body
    return data.length >= count ? data : undefined
  })

function post(key: string, path: string, body: object) {
  return fetch(app.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })
}

const turn = (type: string, input: number, output: number, more = {}) => ({
  ...{ type, input_tokens: input, output_tokens: output, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  ...more,
})
const ADVISED = {
  ...{ input_tokens: 2390, output_tokens: 121, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  service_tier: "standard",
  iterations: [
    turn("message", 1128, 110),
    turn("advisor_message", 2518, 22, { model: "claude-opus-4-8" }),
    turn("advisor_message", 100, 3, { model: "claude-opus-4-8" }),
    turn("message", 1262, 11),
  ],
}
const asked = { model: "claude-sonnet-5", max_tokens: 100, messages: [{ role: "user", content: "Hi" }] }
const message = { id: "msg_1", type: "message", role: "assistant", model: "claude-sonnet-5", content: [] }

describe("an advisor", () => {
  const twoBills = (records: UsageRecord[]) => {
    const own = records.find(({ model_served: model }) => model === "claude-sonnet-5")
    const advisors = records.filter(({ model_served: model }) => model === "claude-opus-4-8")
    expect(records).toHaveLength(2)
    expect(own).toMatchObject({ input_uncached_tokens: 2390, output_tokens: 121, usage_source: "provider" })
    expect(advisors).toMatchObject([
      {
        ...{ input_uncached_tokens: 2618, output_tokens: 25, usage_source: "provider", price_state: "priced" },
        ...{ model_requested: "claude-sonnet-5", key_id: own?.key_id, end_state: "complete", outcome: "ok" },
        // 2,618 tokens at 5 dollars a million, 25 at 25.
        cost_usd: "0.013715",
      },
    ])
    return { own, advisor: advisors[0] }
  }

  test("is a record of its own, at its own model's price, and counts in the key's budget", async () => {
    const { id, key } = await app.createKey({ limits: [{ kind: "usd", window: "month", cap: "100" }] })
    provider.enqueue({ body: { ...message, usage: ADVISED } })
    const response = await post(key, "/v1/messages", asked)
    expect(response.status).toBe(200)
    const { own, advisor } = twoBills(await recordsOf(id, 2))
    const both = Number(own?.cost_usd) + Number(advisor?.cost_usd)
    expect(Number(response.headers.get("x-tallygate-cost-usd"))).toBeCloseTo(both, 12)
    const shown = await (await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).json()
    const [limit] = (shown as { limits: { used: string }[] }).limits
    expect(Number(limit?.used)).toBeCloseTo(both, 9)
  })

  test("likewise in a stream, whose last event tells of it", async () => {
    const { id, key } = await app.createKey()
    const events = [
      { type: "message_start", message: { ...message, usage: { input_tokens: 1128, output_tokens: 1 } } },
      { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: ADVISED },
      { type: "message_stop" },
    ]
    provider.enqueue({ body: events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`) })
    await (await post(key, "/v1/messages", { ...asked, stream: true })).text()
    twoBills(await recordsOf(id, 2))
  })
})

test("the images that a response had made are the bill of the model that made them", async () => {
  const { id, key } = await app.createKey()
  const images = { input_tokens: 50, input_tokens_details: { text_tokens: 50, image_tokens: 0 }, output_tokens: 1000 }
  provider.enqueue({
    body: {
      ...{ id: "resp_1", object: "response", status: "completed", model: "gpt-4o-2024-08-06", output: [] },
      tools: [{ type: "image_generation", model: "gpt-image-1" }],
      usage: { input_tokens: 30, output_tokens: 20, total_tokens: 50 },
      tool_usage: { image_gen: images, web_search: { num_requests: 0 } },
    },
  })
  await (await post(key, "/v1/responses", { model: "gpt-4o", input: "a cat" })).text()
  const records = await recordsOf(id, 2)
  expect(records).toHaveLength(2)
  expect(records.find(({ model_served: model }) => model === "gpt-image-1")).toMatchObject({
    ...{ input_uncached_tokens: 50, output_tokens: 1000, image_output_tokens: 1000, price_state: "priced" },
    endpoint: "responses",
  })
  expect(records.find(({ model_served: model }) => model !== "gpt-image-1")).toMatchObject({
    ...{ input_uncached_tokens: 30, output_tokens: 20, image_output_tokens: 0 },
  })
})

describe("a call that had to stay in a region", () => {
  test.each([
    ["claude-opus-4-6", "us", "standard@us", "0.033"],
    ["claude-opus-4-6", "global", "standard", "0.03"],
    ["claude-opus-4-6", "not_available", "standard", "0.03"],
    // Has no price of its own there.
    ["claude-haiku-4-5", "us", "standard@us", "0.006"],
  ])("of %s in %s costs what it costs there", async (model, inference_geo, tier, cost) => {
    const { id, key } = await app.createKey()
    const usage = { input_tokens: 1000, output_tokens: 1000, service_tier: "standard", inference_geo }
    provider.enqueue({ body: { ...message, model, usage } })
    const response = await post(key, "/v1/messages", { ...asked, model })
    await response.text()
    expect(response.headers.get("x-tallygate-cost-usd")).toBe(cost)
    expect(await recordsOf(id, 1)).toMatchObject([{ tier_served: tier, cost_usd: cost, price_state: "priced" }])
  })
})
