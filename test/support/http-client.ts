/**
 * A raw HTTP/1.1 client on `node:net`, for promises about bytes: what an ordinary client hides (chunk borders, header
 * spelling, a cut answer) stays visible here. One request per connection; responses framed by content-length, chunked
 * coding or the end of the connection (RFC 9112, section 6).
 */
import { connect, type Socket } from "node:net"

export type RawRequest = {
  readonly port: number
  readonly host?: string
  readonly method?: string
  readonly path: string
  /** A record, or a flat list `[name, value, …]` where order, spelling or repeats matter. */
  readonly headers?: Readonly<Record<string, string>> | readonly string[]
  readonly body?: Buffer | string
  /** Called with the decoded body bytes of each read. */
  readonly onChunk?: (bytes: Buffer) => void
  /** Destroys the connection once this many decoded body bytes have arrived; 0 leaves at the response head. */
  readonly abortAfterBytes?: number
  /** Rejects when the exchange takes longer; 20,000 ms unless told. */
  readonly timeoutMs?: number
}

export type RawResponse = {
  readonly status: number
  /** Flat `[name, value, …]` as it stood on the wire. */
  readonly rawHeaders: readonly string[]
  /** Names in lower case; repeated fields joined by ", ". */
  readonly headers: Readonly<Record<string, string>>
  /** The body, decoded from chunked coding; content-encoding is left as it is. */
  readonly bodyBytes: Buffer
  /** Everything that came over the socket. */
  readonly wire: Buffer
  /** Decoded body bytes per read of the socket; `atMs` counts from the moment the request was written. */
  readonly chunks: readonly { readonly atMs: number; readonly bytes: Buffer }[]
  /** `complete`: framing says so. `cut`: the connection ended first. `aborted`: `abortAfterBytes` was reached. */
  readonly end: "complete" | "cut" | "aborted"
}

/** Sends one request and resolves when the answer is complete, cut or aborted; rejects without a response head. */
export function rawRequest(request: RawRequest): Promise<RawResponse> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: request.port, host: request.host ?? "127.0.0.1", noDelay: true })
    const reader = new ResponseReader()
    const wire: Buffer[] = []
    const chunks: { atMs: number; bytes: Buffer }[] = []
    let startedMs = performance.now()
    let bodyBytes = 0

    const finish = (end: RawResponse["end"], cause?: Error): void => {
      clearTimeout(timer)
      socket.destroy()
      if (reader.head === null) {
        reject(new Error(`no response head from ${request.method ?? "GET"} ${request.path}`, { cause }))
        return
      }
      const bytes = Buffer.concat(chunks.map((chunk) => chunk.bytes))
      resolve({ ...reader.head, bodyBytes: bytes, wire: Buffer.concat(wire), chunks, end })
    }
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no complete answer from ${request.path} within the time-out`))
    }, request.timeoutMs ?? 20_000)

    socket.on("connect", () => {
      startedMs = performance.now()
      writeRequest(socket, request)
    })
    socket.on("data", (data: Buffer) => {
      wire.push(data)
      const bytes = reader.feed(data)
      if (bytes.length > 0) {
        bodyBytes += bytes.length
        chunks.push({ atMs: performance.now() - startedMs, bytes })
        request.onChunk?.(bytes)
      }
      const leaves =
        request.abortAfterBytes !== undefined && reader.head !== null && bodyBytes >= request.abortAfterBytes
      if (leaves) finish("aborted")
      else if (reader.isComplete) finish("complete")
    })
    socket.on("error", (error) => finish("cut", error))
    socket.on("end", () => finish(reader.isFramedByClose ? "complete" : "cut"))
  })
}

function writeRequest(socket: Socket, request: RawRequest): void {
  const body = request.body === undefined ? null : Buffer.from(request.body)
  const fields = Array.isArray(request.headers) ? [...request.headers] : Object.entries(request.headers ?? {}).flat()
  const isNamed = (name: string): boolean => fields.some((field, i) => i % 2 === 0 && field.toLowerCase() === name)
  if (!isNamed("host")) fields.push("host", `${request.host ?? "127.0.0.1"}:${request.port}`)
  if (!isNamed("connection")) fields.push("connection", "close")
  if (body !== null && !isNamed("content-length")) fields.push("content-length", String(body.length))
  let head = `${request.method ?? (body === null ? "GET" : "POST")} ${request.path} HTTP/1.1\r\n`
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  socket.write(Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), body ?? Buffer.alloc(0)]))
}

type Head = Pick<RawResponse, "status" | "rawHeaders" | "headers">
type Framing = "length" | "chunked" | "close"

/** Takes the bytes of one response as they come and gives back the body bytes among them. */
class ResponseReader {
  head: Head | null = null
  isComplete = false
  #pending: Buffer = Buffer.alloc(0)
  #framing: Framing = "close"
  /** Body bytes still to come: of the whole body, or of the current chunk. */
  #left = 0
  #chunkPart: "size" | "data" | "data-end" | "trailer" = "size"

  get isFramedByClose(): boolean {
    return this.head !== null && this.#framing === "close"
  }

  feed(data: Buffer): Buffer {
    this.#pending = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data])
    if (this.head === null && !this.#readHead()) return Buffer.alloc(0)
    if (this.#framing === "chunked") return this.#readChunks()
    const size = this.#framing === "length" ? Math.min(this.#left, this.#pending.length) : this.#pending.length
    const body = this.#pending.subarray(0, size)
    this.#pending = this.#pending.subarray(size)
    if (this.#framing === "length") {
      this.#left -= size
      this.isComplete = this.#left === 0
    }
    return body
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf("\r\n\r\n")
    if (end < 0) return false
    const lines = this.#pending.toString("latin1", 0, end).split("\r\n")
    this.#pending = this.#pending.subarray(end + 4)
    const status = Number(lines[0]?.split(" ")[1])
    if (status >= 100 && status < 200) return this.#readHead()
    this.head = { status, ...readFields(lines.slice(1)) }
    const { headers } = this.head
    if (headers["transfer-encoding"]?.toLowerCase().endsWith("chunked")) this.#framing = "chunked"
    else if (status === 204 || status === 304) this.#framing = "length"
    else if (headers["content-length"] !== undefined) {
      this.#framing = "length"
      this.#left = Number(headers["content-length"])
    }
    return true
  }

  #readChunks(): Buffer {
    const parts: Buffer[] = []
    while (!this.isComplete && this.#pending.length > 0) {
      if (this.#chunkPart === "data") {
        const part = this.#pending.subarray(0, Math.min(this.#left, this.#pending.length))
        parts.push(part)
        this.#left -= part.length
        this.#pending = this.#pending.subarray(part.length)
        if (this.#left === 0) this.#chunkPart = "data-end"
        continue
      }
      const end = this.#pending.indexOf("\r\n")
      if (end < 0) break
      const line = this.#pending.toString("latin1", 0, end)
      this.#pending = this.#pending.subarray(end + 2)
      this.#readChunkLine(line)
    }
    return Buffer.concat(parts)
  }

  #readChunkLine(line: string): void {
    if (this.#chunkPart === "trailer") {
      this.isComplete = line === ""
      return
    }
    if (this.#chunkPart === "data-end") {
      this.#chunkPart = "size"
      return
    }
    this.#left = Number.parseInt(line, 16)
    if (Number.isNaN(this.#left)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`)
    this.#chunkPart = this.#left === 0 ? "trailer" : "data"
  }
}

function readFields(lines: readonly string[]): Pick<Head, "rawHeaders" | "headers"> {
  const rawHeaders: string[] = []
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(":")
    const name = line.slice(0, colon)
    const value = line.slice(colon + 1).trim()
    rawHeaders.push(name, value)
    const key = name.toLowerCase()
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`
  }
  return { rawHeaders, headers }
}
