/**
 * A provider whose streams go on until somebody leaves, in four dialects: what a budget has to end. It knows of each
 * stream how much it has written and when the connection was closed.
 */
import { once } from "node:events"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import { setTimeout as pause } from "node:timers/promises"

/** Ten tokens or so, and about as many bytes a token as prose has. */
export const PIECE = "Budgets are kept by whoever counts in time. "

export type EndlessStream = {
  readonly path: string
  readonly request: Record<string, unknown>
  pieces: number
  /** `performance.now()` when the connection closed; null while it is open. */
  closedMs: number | null
}

export type EndlessProvider = {
  readonly origin: string
  readonly streams: EndlessStream[]
  /** Streams end by themselves after so many pieces. */
  piecesMax: number
  stop(): Promise<void>
}

type Events = { readonly start: readonly object[]; piece(index: number): object; readonly end: readonly object[] }

const data = (value: object) => `data: ${JSON.stringify(value)}\n\n`
const named = (value: object) => `event: ${(value as { type: string }).type}\n${data(value)}`

const chunk = (more: object) => ({
  ...{ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt-4o-mini" },
  ...more,
})
const CHAT: Events = {
  start: [chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] })],
  piece: () => chunk({ choices: [{ index: 0, delta: { content: PIECE }, finish_reason: null }] }),
  end: [chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })],
}

const MESSAGE = { type: "message", role: "assistant", content: [], model: "claude-haiku-4-5", stop_reason: null }
const ANTHROPIC: Events = {
  start: [
    {
      type: "message_start",
      message: { id: "msg_1", ...MESSAGE, stop_sequence: null, usage: { input_tokens: 12, output_tokens: 1 } },
    },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  ],
  piece: () => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: PIECE } }),
  end: [
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 30 } },
    { type: "message_stop" },
  ],
}

const RESPONSE = { id: "resp_1", object: "response", created_at: 1, model: "gpt-4o-mini", output: [], usage: null }
const ITEM = { id: "msg_1", type: "message", role: "assistant", status: "in_progress", content: [] }
const AT = { item_id: "msg_1", output_index: 0, content_index: 0 }
const RESPONSES: Events = {
  start: [
    { type: "response.created", sequence_number: 0, response: { ...RESPONSE, status: "in_progress" } },
    { type: "response.output_item.added", sequence_number: 1, output_index: 0, item: ITEM },
    {
      ...{ type: "response.content_part.added", sequence_number: 2, ...AT },
      part: { type: "output_text", text: "", annotations: [] },
    },
  ],
  piece: (index) => ({
    ...{ type: "response.output_text.delta", sequence_number: 3 + index, ...AT },
    ...{ delta: PIECE, logprobs: [] },
  }),
  end: [],
}

const GOOGLE: Events = {
  start: [],
  piece: (index) => ({
    candidates: [{ content: { parts: [{ text: PIECE }], role: "model" }, index: 0 }],
    usageMetadata: {
      promptTokenCount: 12,
      candidatesTokenCount: 9 * (index + 1),
      totalTokenCount: 12 + 9 * (index + 1),
    },
    modelVersion: "gemini-2.0-flash",
    responseId: "r1",
  }),
  end: [],
}

function eventsOf(path: string): { readonly events: Events; readonly write: (value: object) => string } {
  if (path.startsWith("/v1/messages")) return { events: ANTHROPIC, write: named }
  if (path.startsWith("/v1/responses")) return { events: RESPONSES, write: named }
  if (path.includes(":streamGenerateContent")) return { events: GOOGLE, write: data }
  return { events: CHAT, write: data }
}

export async function startEndlessProvider(): Promise<EndlessProvider> {
  const streams: EndlessStream[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    const path = request.url ?? ""
    const stream: EndlessStream = { path, request: JSON.parse(await text(request)), pieces: 0, closedMs: null }
    streams.push(stream)
    response.once("close", () => {
      stream.closedMs = performance.now()
    })
    response.writeHead(200, { "content-type": "text/event-stream" })
    const { events, write } = eventsOf(path)
    for (const event of events.start) response.write(write(event))
    while (stream.closedMs === null && stream.pieces < provider.piecesMax) {
      response.write(write(events.piece(stream.pieces)))
      stream.pieces += 1
      await pause(1)
    }
    for (const event of events.end) response.write(write(event))
    response.end(events === CHAT ? "data: [DONE]\n\n" : undefined)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const provider: EndlessProvider = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    streams,
    piecesMax: Number.POSITIVE_INFINITY,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    },
  }
  return provider
}
