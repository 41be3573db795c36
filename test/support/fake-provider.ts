/**
 * One account at a provider of each API, on a port of 127.0.0.1: OpenAI's under `/v1`, Anthropic's under `/anthropic/v1`,
 * Google's under `/google/v1beta`. It keeps objects (files, batches, responses…) as an account does, for whoever comes
 * with its credential, and every request as it arrived; what it answers is a function of the request alone.
 */
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { anthropicAnswer } from "./fake-anthropic.ts"
import { googleAnswer } from "./fake-google.ts"
import { openAiAnswer } from "./fake-openai.ts"

export type FakeRequest = {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** The body where it is JSON, an empty object otherwise. */
  readonly json: Record<string, unknown>
}

export type FakeAnswer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is JSON; a list of texts is sent piece by piece. */
  readonly body: object | Buffer | readonly string[]
}

/** Objects of the account by id, in the order of their making. */
export type FakeObjects = Map<string, Record<string, unknown> & { content?: Buffer }>

export type FakeAccount = {
  readonly objects: FakeObjects
  /** A new id with this beginning. */
  mint(prefix: string): string
}

export type FakeProvider = {
  readonly origin: string
  readonly port: number
  readonly requests: FakeRequest[]
  readonly objects: FakeObjects
  /** The next request is answered so, whatever it asks for. */
  enqueue(answer: FakeAnswer): void
  reset(): void
  stop(): Promise<void>
}

export const ANTHROPIC_PATH = "/anthropic"
export const GOOGLE_PATH = "/google"

/** Headers that no caller may see, since they speak of the account. */
const ACCOUNT_HEADERS = {
  "openai-organization": "org-of-the-account",
  "anthropic-organization-id": "org-of-the-account",
  "x-ratelimit-remaining-requests": "7",
  "anthropic-ratelimit-requests-remaining": "7",
  "set-cookie": "account=1",
  "x-request-id": "req_of_the_provider",
  "request-id": "req_of_the_provider",
}

export async function startFakeProvider(): Promise<FakeProvider> {
  const requests: FakeRequest[] = []
  const objects: FakeObjects = new Map()
  const queued: FakeAnswer[] = []
  let minted = 0
  const account: FakeAccount = { objects, mint: (prefix) => `${prefix}fake${String(++minted).padStart(6, "0")}` }
  const server = createServer((request, response) => {
    receive(request)
      .then((received) => {
        requests.push(received)
        return write(response, queued.shift() ?? answerOf(account, received))
      })
      .catch((error: unknown) => response.destroy(error as Error))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    requests,
    objects,
    enqueue: (answer) => void queued.push(answer),
    reset: () => {
      requests.length = 0
      queued.length = 0
    },
    stop: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** Providers `openai`, `claude` and `gemini` on the fake's three APIs, with the models that their names say. */
export function threeApis({ origin }: Pick<FakeProvider, "origin">, more = ""): string {
  return `
providers:
  openai: { dialect: openai, base_url: ${origin}/v1, api_key: sk-upstream-canary }
  claude: { dialect: anthropic, base_url: ${origin}${ANTHROPIC_PATH}/v1, api_key: sk-ant-canary, priced_as: anthropic }
  gemini: { dialect: google, base_url: ${origin}${GOOGLE_PATH}/v1beta, api_key: AIza-canary, priced_as: google }
models:
  - { match: "fast", provider: openai, model: gpt-4o-mini }
  - { match: "smart", provider: claude, model: claude-sonnet-4-5 }
  - { match: "quick", provider: gemini, model: gemini-2.5-flash }
  - { match: "claude-*", provider: claude }
  - { match: "gemini-*", provider: gemini }
  - { match: "imagen-*", provider: gemini }
  - { match: "*", provider: openai }
${more}`
}

function answerOf(account: FakeAccount, request: FakeRequest): FakeAnswer {
  if (request.path.startsWith(`${ANTHROPIC_PATH}/`)) return anthropicAnswer(account, within(request, ANTHROPIC_PATH))
  if (request.path.startsWith(`${GOOGLE_PATH}/`)) return googleAnswer(account, within(request, GOOGLE_PATH))
  if (request.path.startsWith(`/upload${GOOGLE_PATH}/`)) {
    return googleAnswer(account, { ...request, path: `/upload${request.path.slice(7 + GOOGLE_PATH.length)}` })
  }
  return openAiAnswer(account, request)
}

function within(request: FakeRequest, path: string): FakeRequest {
  return { ...request, path: request.path.slice(path.length) }
}

async function receive(request: IncomingMessage): Promise<FakeRequest> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const body = Buffer.concat(parts)
  const { method = "", url: path = "", headers, rawHeaders } = request
  return { method, path, headers, rawHeaders, body, json: jsonOf(body) }
}

function jsonOf(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"))
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

async function write(response: ServerResponse, { status = 200, headers = {}, body }: FakeAnswer): Promise<void> {
  if (Array.isArray(body) && typeof body[0] === "string") {
    response.writeHead(status, { ...ACCOUNT_HEADERS, "content-type": "text/event-stream", ...headers })
    for (const part of body as readonly string[]) {
      response.write(part)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    response.end()
    return
  }
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  const type = Buffer.isBuffer(body) ? "application/octet-stream" : "application/json"
  const length = String(bytes.length)
  response.writeHead(status, { ...ACCOUNT_HEADERS, "content-type": type, "content-length": length, ...headers })
  response.end(bytes)
}
