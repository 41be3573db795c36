/**
 * The bench's provider: raw sockets and prepared answers, so that it is never the bottleneck, in a process of its own.
 * Started as `node upstream.ts`; prints `{"port":N}`. It keeps one account per bearer credential, so that each proxy's
 * records can be held against what was served to that proxy alone: `GET /__served`, zeroed by `POST /__reset`.
 * Model names choose the answer as in test/support: -c<N> chunks, -d<ms> between them, -o<N> -p<N> -k<N> -r<N> tokens.
 */
import { createServer, type Socket } from "node:net"
import { behaviourOf, chatCompletion, chatStream, readChatRequest, tokensOf } from "../support/chat-answers.ts"

/** What was served to one credential; tokens are booked when an answer is complete. */
export type Account = {
  requests: number
  answered: number
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  reasoningTokens: number
  streamsStarted: number
  streamsCompleted: number
  streamsAborted: number
  chunks: number
}

type Tokens = ReturnType<typeof tokensOf>
/** A prepared answer: the parts of a stream in order, or one part for JSON. */
type Plan = {
  readonly tokens: Tokens
  readonly parts: readonly Part[]
  readonly isStream: boolean
  readonly delayMs: number
}
/** `idAt` is where the unique response id is written into a copy; -1 where there is none. */
type Part = { readonly bytes: Buffer; readonly idAt: number; readonly isContent: boolean }
type Connection = { readonly socket: Socket; pending: Buffer; isBusy: boolean; account: Account | null }

const ID_MARK = "@@@@@@@@@@@@"
const PLANS_MAX = 1_000

class BenchUpstream {
  readonly #accounts = new Map<string, Account>()
  readonly #plans = new Map<string, Plan | null>()
  #sequence = 0

  accept(socket: Socket): void {
    socket.setNoDelay(true)
    const connection: Connection = { socket, pending: Buffer.alloc(0), isBusy: false, account: null }
    socket.on("data", (data: Buffer) => {
      connection.pending = connection.pending.length === 0 ? data : Buffer.concat([connection.pending, data])
      this.#readRequests(connection)
    })
    // A client that resets its connection is part of the bench; `close` follows and books the abort.
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      if (connection.isBusy && connection.account !== null) connection.account.streamsAborted++
    })
  }

  #readRequests(connection: Connection): void {
    while (!connection.isBusy) {
      const { pending } = connection
      const headEnd = pending.indexOf("\r\n\r\n")
      if (headEnd < 0) return
      const head = pending.toString("latin1", 0, headEnd)
      if (/\r\ntransfer-encoding:/i.test(head)) throw new Error("the bench upstream takes bodies with a length only")
      const bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      const end = headEnd + 4 + bodyBytes
      if (pending.length < end) return
      const body = pending.subarray(headEnd + 4, end)
      connection.pending = pending.subarray(end)
      this.#answer(connection, head, body)
    }
  }

  #answer(connection: Connection, head: string, body: Buffer): void {
    const pathAt = head.indexOf(" ") + 1
    const path = head.slice(pathAt, head.indexOf(" ", pathAt))
    if (!path.endsWith("/chat/completions")) {
      this.#answerControl(connection, path)
      return
    }
    const account = this.#accountOf(/\r\nauthorization: *bearer +(\S+)/i.exec(head)?.[1] ?? "")
    account.requests++
    const plan = this.#planOf(body)
    if (plan === null) {
      connection.socket.end(`${headOf("400 Bad Request", "application/json")}content-length: 2\r\n\r\n{}`)
      return
    }
    const id = String(++this.#sequence).padStart(ID_MARK.length, "0")
    if (plan.isStream) this.#stream(connection, plan, account, id)
    else {
      const [part] = plan.parts
      if (part !== undefined) connection.socket.write(withId(part, id))
      book(account, plan.tokens)
    }
  }

  #answerControl(connection: Connection, path: string): void {
    if (path === "/__reset") this.#accounts.clear()
    const isAccount = path === "/__served" || path === "/__reset"
    const accounts = Object.fromEntries(this.#accounts)
    this.#sendJson(connection, isAccount ? { accounts } : { object: "list", data: [] })
  }

  #accountOf(credential: string): Account {
    let account = this.#accounts.get(credential)
    if (account === undefined) {
      account = emptyAccount()
      this.#accounts.set(credential, account)
    }
    return account
  }

  #planOf(body: Buffer): Plan | null {
    const key = body.toString("latin1")
    let plan = this.#plans.get(key)
    if (plan === undefined) {
      plan = planOf(body)
      if (this.#plans.size >= PLANS_MAX) this.#plans.clear()
      this.#plans.set(key, plan)
    }
    return plan
  }

  /** Sends what is due, then sleeps until the next chunk; due times count from the start, so that delays do not add up. */
  #stream(connection: Connection, plan: Plan, account: Account, id: string): void {
    const { socket } = connection
    const startedMs = performance.now()
    let index = 0
    let content = 0
    connection.isBusy = true
    connection.account = account
    account.streamsStarted++
    const step = (): void => {
      if (socket.destroyed) return
      for (;;) {
        const part = plan.parts[index]
        if (part === undefined) break
        const waitMs = part.isContent ? startedMs + (content + 1) * plan.delayMs - performance.now() : 0
        if (waitMs > 0) {
          setTimeout(step, waitMs)
          return
        }
        socket.write(withId(part, id))
        index++
        if (part.isContent) {
          content++
          account.chunks++
        }
      }
      connection.isBusy = false
      account.streamsCompleted++
      book(account, plan.tokens)
      this.#readRequests(connection)
    }
    step()
  }

  #sendJson(connection: Connection, value: object): void {
    const body = JSON.stringify(value)
    connection.socket.write(
      `${headOf("200 OK", "application/json")}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  }
}

function book(account: Account, tokens: Tokens): void {
  account.answered++
  account.promptTokens += tokens.prompt
  account.cachedTokens += tokens.cached
  account.completionTokens += tokens.completion
  account.reasoningTokens += tokens.reasoning
}

function emptyAccount(): Account {
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

function withId(part: Part, id: string): Buffer {
  if (part.idAt < 0) return part.bytes
  const bytes = Buffer.from(part.bytes)
  bytes.write(id, part.idAt, "latin1")
  return bytes
}

/** As many header fields as a real provider sends, since proxies pay for each. */
function headOf(status: string, type: string): string {
  return (
    `HTTP/1.1 ${status}\r\ndate: Sun, 23 Nov 2025 12:00:00 GMT\r\ncontent-type: ${type}\r\n` +
    "openai-organization: org-bench\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\n" +
    "x-ratelimit-limit-requests: 30000\r\nx-ratelimit-remaining-requests: 29999\r\n" +
    "x-ratelimit-limit-tokens: 150000000\r\nx-ratelimit-remaining-tokens: 149999000\r\n" +
    "x-request-id: req_bench000000000000000000\r\nserver: bench\r\n"
  )
}

function planOf(body: Buffer): Plan | null {
  const request = readChatRequest(body)
  if (request === null) return null
  const behaviour = behaviourOf(request.model)
  const tokens = tokensOf(request, behaviour)
  const id = `chatcmpl-bench${ID_MARK}`
  const part = (bytes: Buffer, isContent = false): Part => ({ bytes, idAt: bytes.indexOf(ID_MARK), isContent })
  if (!request.isStream) {
    const answer = Buffer.from(JSON.stringify(chatCompletion(request, behaviour, id)))
    const head = Buffer.from(`${headOf("200 OK", "application/json")}content-length: ${answer.length}\r\n\r\n`)
    return { tokens, parts: [part(Buffer.concat([head, answer]))], isStream: false, delayMs: 0 }
  }
  const head = `${headOf("200 OK", "text/event-stream; charset=utf-8")}transfer-encoding: chunked\r\n\r\n`
  const events = chatStream(request, behaviour, id)
  const parts = events.map((event) => part(Buffer.from(frame(event.text)), event.isContent))
  return {
    tokens,
    parts: [part(Buffer.from(head)), ...parts, part(Buffer.from("0\r\n\r\n"))],
    isStream: true,
    delayMs: behaviour.delayMs,
  }
}

function frame(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

const upstream = new BenchUpstream()
const server = createServer((socket) => upstream.accept(socket))
server.listen(0, "127.0.0.1", 1_024, () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : null }))
})
