/**
 * An OpenAI-compatible provider on a port of 127.0.0.1 for tests. The model's name chooses its behaviour (see
 * `behaviourOf`), or a test enqueues an answer byte for byte. It keeps what it received and its own account of what it
 * served, so that a test can hold Tallygate's records against the truth.
 */
import { once } from "node:events"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"
import {
  type Behaviour,
  behaviourOf,
  type ChatRequest,
  chatCompletion,
  chatStream,
  errorAnswer,
  readChatRequest,
  tokensOf,
} from "./chat-answers.ts"
import { Answer, GzipCoder, playScript, type Script, writeEvent } from "./upstream-answer.ts"

export type { Script, ScriptStep } from "./upstream-answer.ts"

export type ReceivedRequest = {
  readonly method: string
  readonly path: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage["headers"]
  readonly body: Buffer
  /** The client left before the answer was complete. */
  aborted: boolean
}

/** The provider's own account; scripted answers count as requests only. */
export type Served = {
  requests: number
  /** Chat answers with status 200 that were sent completely. */
  answered: number
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  reasoningTokens: number
  streamsStarted: number
  streamsCompleted: number
  /** Streams whose client left. */
  streamsAborted: number
  /** Content chunks sent, those of unfinished streams included. */
  chunks: number
}

export type FakeUpstream = {
  readonly port: number
  /** `http://127.0.0.1:port`, without `/v1`. */
  readonly origin: string
  readonly baseUrl: string
  readonly requests: readonly ReceivedRequest[]
  /** The next request is answered by this script, whatever it asks for; scripts are used in order. */
  enqueue(script: Script): void
  /** Resolves with the n-th request (from 1) once its body has arrived. */
  waitForRequest(n: number, timeoutMs?: number): Promise<ReceivedRequest>
  /** Resolves once the client of the n-th request has left before its answer was complete. */
  waitForAbort(n: number, timeoutMs?: number): Promise<ReceivedRequest>
  served(): Readonly<Served>
  /** Forgets requests, scripts and the account. */
  reset(): void
  stop(): Promise<void>
}

/** Starts a provider; stop it with `stop()`, which drops open connections. */
export async function startFakeUpstream(): Promise<FakeUpstream> {
  const state = new UpstreamState()
  const server = createServer((request, response) => {
    receive(request, response, state).catch((error: unknown) => response.destroy(error as Error))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests: state.requests,
    enqueue: (script) => state.scripts.push(script),
    waitForRequest: (n, timeoutMs) => state.waitFor(n, () => true, `request ${n}`, timeoutMs),
    waitForAbort: (n, timeoutMs) => state.waitFor(n, (request) => request.aborted, `abort of request ${n}`, timeoutMs),
    served: () => ({ ...state.served }),
    reset: () => state.reset(),
    stop: () => stop(server),
  }
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, "close")
  server.close()
  server.closeAllConnections()
  await closed
}

type Waiter = { readonly isDone: () => boolean; readonly resolve: () => void }

class UpstreamState {
  readonly requests: ReceivedRequest[] = []
  readonly scripts: Script[] = []
  served: Served = emptyAccount()
  answers = 0
  #waiters: Waiter[] = []

  reset(): void {
    this.requests.length = 0
    this.scripts.length = 0
    this.served = emptyAccount()
  }

  notify(): void {
    const done = this.#waiters.filter((waiter) => waiter.isDone())
    this.#waiters = this.#waiters.filter((waiter) => !done.includes(waiter))
    for (const waiter of done) waiter.resolve()
  }

  waitFor(
    n: number,
    isMet: (request: ReceivedRequest) => boolean,
    what: string,
    timeoutMs = 10_000,
  ): Promise<ReceivedRequest> {
    return new Promise((resolve, reject) => {
      const found = (): ReceivedRequest | undefined => this.requests[n - 1]
      const isDone = (): boolean => {
        const request = found()
        return request !== undefined && isMet(request)
      }
      const timer = setTimeout(() => {
        reject(
          new Error(`the fake upstream saw no ${what} in ${timeoutMs} ms; it has ${this.requests.length} requests`),
        )
      }, timeoutMs)
      const finish = (): void => {
        clearTimeout(timer)
        const request = found()
        if (request !== undefined) resolve(request)
      }
      this.#waiters.push({ isDone, resolve: finish })
      this.notify()
    })
  }
}

function emptyAccount(): Served {
  return {
    requests: 0,
    answered: 0,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    streamsStarted: 0,
    streamsCompleted: 0,
    streamsAborted: 0,
    chunks: 0,
  }
}

async function receive(request: IncomingMessage, response: ServerResponse, state: UpstreamState): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const received: ReceivedRequest = {
    method: request.method ?? "",
    path: request.url ?? "",
    rawHeaders: request.rawHeaders,
    headers: request.headers,
    body: Buffer.concat(parts),
    aborted: false,
  }
  const answer = new Answer(response, () => {
    received.aborted = true
    state.notify()
  })
  state.requests.push(received)
  state.served.requests++
  state.notify()
  const script = state.scripts.shift()
  if (script !== undefined) return playScript(answer, script)
  if (received.method === "GET" && received.path.startsWith("/v1/models")) return answerModels(answer)
  const chat = received.path.startsWith("/v1/chat/completions") ? readChatRequest(received.body) : null
  if (chat === null) return answerError(answer, received.path.startsWith("/v1/chat/completions") ? 400 : 404, "")
  return answerChat(answer, chat, state)
}

const PROVIDER_HEADERS = {
  "openai-organization": "org-fake",
  "openai-processing-ms": "12",
  "openai-version": "2020-10-01",
  "x-ratelimit-limit-requests": "30000",
  "x-ratelimit-remaining-requests": "29999",
}

function headersOf(state: UpstreamState, more: Readonly<Record<string, string>>): Record<string, string> {
  return { ...PROVIDER_HEADERS, "x-request-id": `req_fake${String(state.answers).padStart(8, "0")}`, ...more }
}

function answerModels(answer: Answer): void {
  const ids = ["gpt-4o", "gpt-4o-mini", "mock"]
  const data = ids.map((id) => ({ id, object: "model", created: 1_760_000_000, owned_by: "fake" }))
  answer.response.writeHead(200, { "content-type": "application/json" })
  answer.response.end(JSON.stringify({ object: "list", data }))
}

function answerError(answer: Answer, status: number, model: string): void {
  const { body, headers } = errorAnswer(status, model)
  answer.response.writeHead(status, { "content-type": "application/json", ...headers })
  answer.response.end(JSON.stringify(body))
}

async function answerChat(answer: Answer, chat: ChatRequest, state: UpstreamState): Promise<void> {
  const behaviour = behaviourOf(chat.model)
  if (behaviour.isHanging) return
  if (behaviour.resetAfterChunks === 0) return answer.drop("reset")
  state.answers++
  if (behaviour.failStatus !== 0) {
    await answer.pause(behaviour.delayMs)
    return answerError(answer, behaviour.failStatus, chat.model)
  }
  if (chat.isStream) await answerStream(answer, chat, behaviour, state)
  else await answerJson(answer, chat, behaviour, state)
}

function book(state: UpstreamState, chat: ChatRequest, behaviour: Behaviour): void {
  const tokens = tokensOf(chat, behaviour)
  state.served.answered++
  state.served.promptTokens += tokens.prompt
  state.served.cachedTokens += tokens.cached
  state.served.completionTokens += tokens.completion
  state.served.reasoningTokens += tokens.reasoning
}

function responseId(state: UpstreamState): string {
  return `chatcmpl-fake${String(state.answers).padStart(8, "0")}`
}

async function answerJson(
  answer: Answer,
  chat: ChatRequest,
  behaviour: Behaviour,
  state: UpstreamState,
): Promise<void> {
  const plain = Buffer.from(JSON.stringify(chatCompletion(chat, behaviour, responseId(state))))
  await answer.pause(behaviour.delayMs)
  if (answer.hasLeft) return
  const coding = behaviour.isGzipped ? { "content-encoding": "gzip" } : {}
  const bytes = behaviour.isGzipped ? gzipSync(plain) : plain
  const length = { "content-length": String(bytes.length) }
  answer.response.writeHead(200, headersOf(state, { "content-type": "application/json", ...length, ...coding }))
  if (behaviour.resetAfterChunks !== null) {
    await answer.write(bytes.subarray(0, bytes.length >> 1))
    return answer.drop("reset")
  }
  book(state, chat, behaviour)
  answer.response.end(bytes)
}

async function answerStream(
  answer: Answer,
  chat: ChatRequest,
  behaviour: Behaviour,
  state: UpstreamState,
): Promise<void> {
  const { response } = answer
  const type = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" }
  const coder = behaviour.isGzipped ? new GzipCoder() : null
  response.writeHead(200, headersOf(state, coder === null ? type : { ...type, "content-encoding": "gzip" }))
  response.flushHeaders()
  state.served.streamsStarted++
  let contentChunks = 0
  for (const event of chatStream(chat, behaviour, responseId(state))) {
    if (event.isContent) {
      if (contentChunks === behaviour.resetAfterChunks) return answer.drop("reset")
      await answer.pause(behaviour.delayMs)
    }
    if (answer.hasLeft) break
    const bytes = Buffer.from(event.text)
    await writeEvent(answer, coder === null ? bytes : await coder.code(bytes), behaviour.isSplit)
    if (!event.isContent) continue
    contentChunks++
    state.served.chunks++
  }
  if (answer.hasLeft) {
    state.served.streamsAborted++
    return
  }
  book(state, chat, behaviour)
  state.served.streamsCompleted++
  response.end(coder === null ? undefined : await coder.finish())
}
