import { expect, test } from "vitest"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"

function message(members: object, model = "claude-sonnet-4-5") {
  const request = { model, max_tokens: 100, messages: [{ role: "user", content: "hi" }], ...members }
  return boundOfRequest("anthropic", "/messages", request)
}

const said = (...content: object[]) => ({ messages: [{ role: "user", content }] })
const document = (source: object, more: object = {}) => said({ type: "document", source, ...more })
const answered = (...content: object[]) => said({ type: "tool_result", tool_use_id: "t", content })

test.each<[string, object, string?]>([
  ["server_context", { container: "container_1" }],
  ["server_tool", { mcp_servers: [{ type: "url", url: "https://example.com", name: "x" }] }],
  ["server_tool", { context_management: { edits: [{ type: "compact_20260112" }] } }],
  ["server_tool", { tools: [{ type: "web_search_20250305", name: "web_search" }] }],
  ["server_tool", { tools: [{ type: "web_fetch_20250910", name: "web_fetch", max_uses: 2 }] }],
  ["server_tool", { tools: [{ type: "code_execution_20250825", name: "code_execution" }] }],
  ["server_tool", { tools: [{ type: "advisor_20260301", name: "advisor", model: "claude-opus-4-7" }] }],
  ["server_tool", said({ type: "web_search_tool_result", tool_use_id: "s", content: [] })],
  ["routed_model", { fallbacks: [{ model: "claude-haiku-4-5" }] }],
  ["file_content", document({ type: "file", file_id: "file_1" })],
  ["file_content", said({ type: "container_upload", file_id: "file_1" })],
  ["remote_content", document({ type: "url", url: "https://example.com/a.pdf" })],
  ["document", document({ type: "base64", media_type: "application/pdf", data: "JVBERi0" })],
  ["document", document({ type: "text", media_type: "text/plain", data: "a. b." }, { citations: { enabled: true } })],
  ["document", answered({ type: "document", source: { type: "base64", data: "JVBERi0" } })],
  ["image", said({ type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } }), "future-1"],
  ["remote_content", said({ type: "image", source: { type: "url", url: "https://example.com/a.png" } }), "future-1"],
  ["unknown_content", said({ type: "hologram" })],
  ["unknown_member", { dreams: { of: "sheep" } }],
])("is unbounded by %s: %j", (reason, members, model) => {
  expect(markOf(message(members, model))).toBe(reason)
})

test("is bounded with all that a coding agent sends", () => {
  const bound = message({
    system: [{ type: "text", text: "You code.", cache_control: { type: "ephemeral" } }],
    thinking: { type: "enabled", budget_tokens: 60 },
    tools: [
      {
        name: "Read",
        description: "reads",
        input_schema: { type: "object", properties: { file_path: { type: "string" } } },
      },
      { type: "custom", name: "Write", input_schema: { type: "object" } },
    ],
    messages: [
      { role: "user", content: [{ type: "text", text: "go" }] },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "well", signature: "Eo8CCkYIA" },
          { type: "redacted_thinking", data: "EmwKAhgBEgy" },
          { type: "tool_use", id: "t", name: "Read", input: { file_path: "a.ts", type: "image" } },
        ],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: "…" }] }] },
    ],
  })
  expect(bound).toMatchObject({ kind: "bounded", most: { outputTokens: 100, outputTokensMin: 61 } })
  expect(bound.most.inputClasses).toEqual(["input", "cache_read", "cache_write_5m"])
})

test("tools come with a prompt of the provider's, and its own tools with theirs", () => {
  const custom = [{ name: "f", input_schema: {} }]
  const bytes = (tools: object[]) => Buffer.byteLength(JSON.stringify({ tools }))
  const plain = message({}).most.inputTokens
  expect(message({ tools: custom }).most.inputTokens - plain - bytes(custom)).toBeGreaterThanOrEqual(804)
  const bash = [{ type: "bash_20250124", name: "bash" }]
  expect(message({ tools: bash })).toMatchObject({ kind: "bounded" })
  expect(message({ tools: bash }).most.inputTokens - plain - bytes(bash)).toBeGreaterThanOrEqual(804 + 1_300)
})

test("what is held for the cache is what the request marks", () => {
  const marked = (cache: object) => said({ type: "text", text: "x", cache_control: cache })
  expect(message({}).most.inputClasses).toEqual(["input"])
  expect(message(marked({ type: "ephemeral" })).most.inputClasses).not.toContain("cache_write_1h")
  expect(message(marked({ type: "ephemeral", ttl: "1h" })).most.inputClasses).toContain("cache_write_1h")
  const escaped = Buffer.from(
    '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"x","cache\\u005fcontrol":{"t\\u0074l":"1h"}}]}]}',
  )
  expect(boundOfRequest("anthropic", "/messages", escaped).most.inputClasses).toContain("cache_write_1h")
})

test("a picture is what its provider scales it down to, whatever its bytes and wherever it is", () => {
  const base64 = { type: "base64", media_type: "image/png", data: "A".repeat(100_000) }
  for (const source of [
    base64,
    { type: "url", url: "https://example.com/a.png" },
    { type: "file", file_id: "file_1" },
  ]) {
    const bound = message(said({ type: "image", source }))
    expect(bound.kind).toBe("bounded")
    expect(bound.most.inputTokens).toBeGreaterThanOrEqual(1_600)
    expect(bound.most.inputTokens).toBeLessThan(2_500)
    expect(message(said({ type: "image", source }), "claude-opus-4-7").most.inputTokens).toBeGreaterThanOrEqual(4_784)
  }
})

test("a character that normalizing makes longer counts as long as it gets, also in escapes", () => {
  const ligature = "\ufdfa".repeat(50)
  const long = Buffer.byteLength(ligature.normalize("NFKC"))
  expect(long).toBe(33 * 50)
  expect(message(said({ type: "text", text: ligature })).most.inputTokens).toBeGreaterThan(long)
  const escaped = Buffer.from(
    `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"${"\\ufdfa".repeat(50)}"}]}`,
  )
  expect(boundOfRequest("anthropic", "/messages", escaped).most.inputTokens).toBeGreaterThan(long)
})

test("a search that is capped has its fee held, though what it finds bounds nothing", () => {
  const bound = message({ tools: [{ type: "web_search_20250305", name: "web_search", max_uses: 3 }] })
  expect(bound).toMatchObject({ kind: "unbounded", reason: "server_tool", most: { fees: { web_search: 3 } } })
})

test("priority may serve all but what asks for standard alone, and speed has its price", () => {
  expect(message({}).most.mayBePriority).toBe(true)
  expect(message({ service_tier: "standard_only" }).most.mayBePriority).toBe(false)
  expect(message({ service_tier: "standard_only", speed: "fast" }).most.mayBePriority).toBe(true)
})
