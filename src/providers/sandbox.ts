/**
 * The sandbox's HTTP server, on loopback: it receives what a real provider would and answers through the same proxy
 * path. It counts with the estimator, but reports no estimate: where the estimator falls back, it answers 503.
 */
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as pause } from "node:timers/promises"
import { type Estimator, FALLBACK_ESTIMATOR } from "../metering/estimator.ts"
import { uuidv7Mint } from "../platform/ids.ts"
import {
  answerText,
  completionBody,
  completionChunks,
  modelList,
  piecesOf,
  readSandboxRequest,
  reasoningText,
  type SandboxAnswer,
  type SandboxChoice,
  type SandboxRequest,
  toolCallText,
} from "./sandbox-answer.ts"

export type SandboxOptions = { readonly estimator: Pick<Estimator, "estimate">; readonly nowMs: () => number }

const BODY_BYTES_MAX = 32 * 1024 * 1024
/** Between two events of a stream: enough to see it flow, little enough to wait for. */
const EVENT_PAUSE_MS = 5

type Reply = (status: number, body: unknown) => void
type Counts = { readonly promptTokens: number; count(text: string): Promise<number> }

/** Thrown where tokens could not be counted by the tokenizer: no answer rather than a wrong bill. */
class NotCounted extends Error {}

/** Listens on a free port of 127.0.0.1. `url` is the base URL, with `/v1`. */
export async function startSandbox(options: SandboxOptions): Promise<{ url: string; close(): Promise<void> }> {
  const mintId = uuidv7Mint()
  const server = createServer((request, response) => {
    const reply: Reply = (status, body) => {
      const bytes = Buffer.from(JSON.stringify(body))
      // With its length, as providers say it: then the answer says what it cost as well.
      response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length }).end(bytes)
    }
    const newId = () => `chatcmpl-sandbox-${mintId(options.nowMs())}`
    response.setHeader("x-request-id", `req_sandbox_${mintId(options.nowMs())}`)
    const fail = (error: unknown) => {
      if (response.headersSent || response.destroyed) response.destroy()
      else if (error instanceof NotCounted) reply(503, serverError("The sandbox's tokenizer is busy; try again."))
      else reply(500, serverError("The sandbox failed."))
    }
    serve(options, request, response, reply, newId).catch(fail)
  })
  // Exclusive: without it the workers of one Tallygate would share the port, and answer for one that has just died.
  server.listen({ port: 0, host: "127.0.0.1", exclusive: true })
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${portOf(server.address())}/v1`,
    close: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function serve(
  options: SandboxOptions,
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  newId: () => string,
): Promise<void> {
  const path = (request.url ?? "").replace(/\?.*$/, "")
  const method = path === "/v1/models" ? "GET" : path === "/v1/chat/completions" ? "POST" : null
  if (method === null) {
    return reply(404, requestError(`The sandbox has no ${path.slice(0, 100)}.`, "unknown_url"))
  }
  if (request.method !== method) return reply(405, requestError(`${path} takes ${method}.`, "method_not_allowed"))
  if (method === "GET") return reply(200, modelList())
  const body = await readBody(request)
  if (body === null) return reply(413, requestError(`The body exceeds ${BODY_BYTES_MAX} bytes.`, "request_too_large"))
  const reading = readSandboxRequest(body)
  if (reading.kind === "refused") return reply(reading.status, { error: reading.error })
  const counts = await countPrompt(options.estimator, body)
  const answer: SandboxAnswer = {
    id: newId(),
    createdSeconds: Math.floor(options.nowMs() / 1000),
    promptTokens: counts.promptTokens,
    choices: await makeChoices(reading.request, counts),
  }
  if (reading.request.isStream) await stream(response, completionChunks(reading.request, answer))
  else reply(200, completionBody(reading.request, answer))
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    // Read to its end, but not kept: a client that is still writing would not read the refusal.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(chunks).toString("utf8")
}

async function countPrompt(estimator: SandboxOptions["estimator"], body: string): Promise<Counts> {
  const exact = async (messages: string, outputText: string) => {
    // The prefix chooses o200k_base without a factor.
    const estimate = await estimator.estimate({ model: "sandbox/echo", messages, outputText })
    if (estimate.estimator === FALLBACK_ESTIMATOR) throw new NotCounted("the estimator fell back")
    return estimate
  }
  return {
    promptTokens: (await exact(body, "")).inputTokens,
    count: async (text) => (text === "" ? 0 : (await exact("", text)).outputTokens),
  }
}

async function makeChoices(request: SandboxRequest, counts: Counts): Promise<SandboxChoice[]> {
  const outputTokensMax = request.outputTokensMax ?? Number.POSITIVE_INFINITY
  const reasoningTokens = Math.min(await counts.count(reasoningText(request)), outputTokensMax)
  const textTokensMax = outputTokensMax - reasoningTokens
  const choices: SandboxChoice[] = []
  for (let index = 0; index < request.choices; index++) {
    const { forcedTool: tool } = request
    const whole = tool === null ? answerText(request, index) : toolCallText(tool)
    const wholeTokens = await counts.count(whole)
    if (wholeTokens <= textTokensMax) {
      const content = tool === null ? whole : ""
      const finishReason = tool === null ? "stop" : "tool_calls"
      choices.push({ content, tool, finishReason, completionTokens: reasoningTokens + wholeTokens, reasoningTokens })
    } else {
      // Half a tool call is of no use to anyone: where it does not fit, nothing is said.
      const { text, tokens } = await cutAtWord(tool === null ? whole : "", textTokensMax, counts)
      const completionTokens = reasoningTokens + tokens
      choices.push({ content: text, tool: null, finishReason: "length", completionTokens, reasoningTokens })
    }
  }
  return choices
}

/** The longest beginning of the text, in whole words, that has no more than `tokensMax` tokens. */
async function cutAtWord(text: string, tokensMax: number, counts: Counts): Promise<{ text: string; tokens: number }> {
  const pieces = piecesOf(text)
  let best = { text: "", tokens: 0 }
  let fewest = 1
  let most = pieces.length
  while (fewest <= most) {
    const middle = (fewest + most) >> 1
    const prefix = pieces.slice(0, middle).join("")
    const tokens = await counts.count(prefix)
    if (tokens <= tokensMax) {
      best = { text: prefix, tokens }
      fewest = middle + 1
    } else {
      most = middle - 1
    }
  }
  return best
}

async function stream(response: ServerResponse, chunks: Iterable<unknown>): Promise<void> {
  if (response.destroyed) return
  const left = new AbortController()
  response.on("close", () => left.abort())
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" })
  try {
    for (const chunk of chunks) {
      const hasRoom = response.write(`data: ${JSON.stringify(chunk)}\n\n`)
      if (!hasRoom) await once(response, "drain", { signal: left.signal })
      await pause(EVENT_PAUSE_MS, undefined, { signal: left.signal })
    }
  } catch (error) {
    // The caller went away: nothing is owed to anyone.
    if (left.signal.aborted) return
    throw error
  }
  response.end("data: [DONE]\n\n")
}

function requestError(message: string, code: string): unknown {
  return { error: { message, type: "invalid_request_error", param: null, code } }
}

function serverError(message: string): unknown {
  return { error: { message, type: "server_error", param: null, code: null } }
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("the sandbox listens on no TCP port")
  return address.port
}
