/**
 * The yardstick: what Node's own HTTP server and undici's dispatch cost with no metering at all. Requests and answers
 * pass through as they are. Started as `node bare-proxy.ts <upstream origin> <credential>`; prints `{"port":N}`.
 */
import { createServer, type ServerResponse } from "node:http"
import { type Dispatcher, Pool } from "undici"

const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"])

/** Raw fields less those of one hop, the host and the credential. */
function forwardedFields(rawHeaders: readonly string[], credential: string): string[] {
  const fields = ["authorization", `Bearer ${credential}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase()
    if (name === "host" || name === "authorization" || name === "content-length" || HOP_BY_HOP.has(name)) continue
    fields.push(name, rawHeaders[i + 1] ?? "")
  }
  return fields
}

class PassThrough implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse
  #isDone = false

  constructor(response: ServerResponse) {
    this.#response = response
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#response.on("close", () => {
      if (!this.#isDone) controller.abort(new Error("the client left"))
    })
    this.#response.on("drain", () => controller.resume())
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const raw = Array.isArray(controller.rawHeaders) ? controller.rawHeaders : []
    const fields: string[] = []
    for (let i = 0; i < raw.length; i += 2) {
      const name = String(raw[i])
      if (!HOP_BY_HOP.has(name.toLowerCase())) fields.push(name, String(raw[i + 1]))
    }
    this.#response.writeHead(status, fields)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici reads into a buffer of its own that it may use again: what outlives this call is a copy.
    if (!this.#response.write(Buffer.from(chunk))) controller.pause()
  }

  onResponseEnd(): void {
    this.#isDone = true
    this.#response.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#isDone = true
    if (this.#response.headersSent) this.#response.destroy(error)
    else this.#response.writeHead(502).end(JSON.stringify({ error: { message: error.message } }))
  }
}

const [origin, credential] = process.argv.slice(2)
if (origin === undefined || credential === undefined) throw new Error("usage: bare-proxy.ts <origin> <credential>")
const pool = new Pool(origin, { connections: 128, pipelining: 1, bodyTimeout: 0, headersTimeout: 0 })
const server = createServer((request, response) => {
  const parts: Buffer[] = []
  request.on("data", (part: Buffer) => parts.push(part))
  request.on("end", () => {
    const body = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
    const headers = forwardedFields(request.rawHeaders, credential)
    const method = (request.method ?? "GET") as Dispatcher.HttpMethod
    pool.dispatch({ path: request.url ?? "/", method, headers, body }, new PassThrough(response))
  })
})
server.listen(0, "127.0.0.1", 1_024, () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : null }))
})
