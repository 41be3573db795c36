/**
 * The load generator, in a process of its own, on raw sockets. Three bounded modes: `closed` (each connection sends
 * its next request when the last is answered), `open` (requests at a fixed rate; latency counts from the moment a
 * request was due, so that a stalled server cannot hide its queue), `stream` (N streams once each, opened over half a
 * second). Prints one JSON object, after every request it sent was answered.
 * Usage: node load.ts '{"mode":"closed","port":1,"key":"sk","model":"mock","connections":32,"durationMs":4000}'
 */
import { connect, type Socket } from "node:net"

export type LoadOptions = {
  readonly mode: "closed" | "open" | "stream"
  readonly port: number
  readonly key: string
  readonly model: string
  /** Connections in closed mode, the most of them in open mode, streams in stream mode. */
  readonly connections: number
  readonly durationMs: number
  /** Requests begun before this are not in the percentiles. */
  readonly warmupMs?: number
  /** Requests per second in open mode. */
  readonly rate?: number
}

export type LoadResult = {
  /** Requests sent, those of the warm-up included. */
  readonly sent: number
  /** Answered with 200 and complete (a stream: up to its `[DONE]`). */
  readonly good: number
  readonly bad: number
  readonly rps: number
  /** From sending (closed, stream) or from being due (open) to the last byte. */
  readonly latencyMs: Percentiles
  /** To the first byte of the body. */
  readonly ttftMs: Percentiles
  /** Content chunks received. */
  readonly chunks: number
}

export type Percentiles = { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number }

/** How long an answer may take before the run is called broken. */
const ANSWER_MS_MAX = 30_000
const PROMPT = "Explain how a metering proxy counts tokens and prices them. ".repeat(6)

type Answer = { readonly isGood: boolean; readonly firstByteMs: number; readonly endMs: number; readonly text: string }

/** One keep-alive connection with at most one request under way. */
class Client {
  readonly #socket: Socket
  #done: ((answer: Answer) => void) | null = null
  #text = ""
  #bodyAt = -1
  #bodyEnd = -1
  #firstByteMs = 0

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true })
    this.#socket.on("data", (data: Buffer) => this.#read(data))
    this.#socket.on("error", () => this.#finish(false))
    this.#socket.on("close", () => this.#finish(false))
  }

  get isUsable(): boolean {
    return !this.#socket.destroyed && this.#done === null
  }

  send(request: Buffer, done: (answer: Answer) => void): void {
    this.#text = ""
    this.#bodyAt = -1
    this.#bodyEnd = -1
    this.#firstByteMs = 0
    this.#done = done
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(data: Buffer): void {
    this.#text += data.toString("latin1")
    if (this.#bodyAt < 0) {
      const headEnd = this.#text.indexOf("\r\n\r\n")
      if (headEnd < 0) return
      this.#bodyAt = headEnd + 4
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, headEnd + 2))
      if (length !== null) this.#bodyEnd = this.#bodyAt + Number(length[1])
    }
    if (this.#firstByteMs === 0 && this.#text.length > this.#bodyAt) this.#firstByteMs = performance.now()
    // Without a length the body is chunked; JSON and SSE never hold the last chunk's bytes themselves.
    const isEnd = this.#bodyEnd >= 0 ? this.#text.length >= this.#bodyEnd : this.#text.endsWith("\r\n0\r\n\r\n")
    if (isEnd) this.#finish(this.#text.startsWith("HTTP/1.1 200"))
  }

  #finish(isGood: boolean): void {
    const done = this.#done
    this.#done = null
    done?.({ isGood, firstByteMs: this.#firstByteMs, endMs: performance.now(), text: this.#text })
  }
}

class Run {
  readonly options: LoadOptions
  readonly request: Buffer
  readonly startedMs = performance.now()
  readonly #latenciesMs: number[] = []
  readonly #ttftsMs: number[] = []
  readonly #clients: Client[] = []
  #sent = 0
  #good = 0
  #bad = 0
  #goodInWindow = 0
  #chunks = 0

  constructor(options: LoadOptions) {
    this.options = options
    this.request = requestBytes(options)
  }

  get stopMs(): number {
    return this.startedMs + this.options.durationMs
  }

  client(): Client {
    const client = new Client(this.options.port)
    this.#clients.push(client)
    return client
  }

  /** Sends one request whose clock began at `fromMs`. */
  call(client: Client, fromMs: number, isWhole: (text: string) => boolean, next: () => void): void {
    this.#sent++
    client.send(this.request, (answer) => {
      if (answer.isGood && isWhole(answer.text)) this.#count(answer, fromMs)
      else this.#bad++
      next()
    })
  }

  #count(answer: Answer, fromMs: number): void {
    this.#good++
    if (this.options.mode === "stream") this.#chunks += answer.text.split('"delta":{"content":"').length - 1
    const windowStartMs = this.startedMs + (this.options.warmupMs ?? 0)
    if (answer.endMs >= windowStartMs && answer.endMs <= this.stopMs) this.#goodInWindow++
    if (fromMs < windowStartMs) return
    this.#latenciesMs.push(answer.endMs - fromMs)
    this.#ttftsMs.push(answer.firstByteMs - fromMs)
  }

  async finished(): Promise<void> {
    const giveUpMs = this.stopMs + ANSWER_MS_MAX
    while (performance.now() < this.stopMs || this.#good + this.#bad < this.#sent) {
      if (performance.now() > giveUpMs) throw new Error(`${this.#sent - this.#good - this.#bad} answers are missing`)
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (this.options.mode === "stream" && this.#good + this.#bad === this.options.connections) break
    }
    for (const client of this.#clients) client.close()
  }

  result(): LoadResult {
    const windowMs = this.options.durationMs - (this.options.warmupMs ?? 0)
    return {
      sent: this.#sent,
      good: this.#good,
      bad: this.#bad,
      rps: Math.round((this.#goodInWindow * 1_000) / windowMs),
      latencyMs: percentiles(this.#latenciesMs),
      ttftMs: percentiles(this.#ttftsMs),
      chunks: this.#chunks,
    }
  }
}

function requestBytes(options: LoadOptions): Buffer {
  const body = JSON.stringify({
    model: options.model,
    messages: [{ role: "user", content: PROMPT }],
    max_tokens: 256,
    ...(options.mode === "stream" ? { stream: true, stream_options: { include_usage: true } } : {}),
  })
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${options.port}\r\nauthorization: Bearer ${options.key}\r\n` +
      "accept: application/json\r\ncontent-type: application/json\r\nuser-agent: OpenAI/JS 6.49.0\r\n" +
      `x-stainless-lang: js\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number => {
    const index = Math.min(sorted.length - 1, Math.floor(share * sorted.length))
    return Math.round((sorted[index] ?? Number.NaN) * 1_000) / 1_000
  }
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}

function runClosed(run: Run): void {
  for (let i = 0; i < run.options.connections; i++) {
    let client = run.client()
    const again = (): void => {
      if (performance.now() >= run.stopMs) return
      if (!client.isUsable) client = run.client()
      run.call(client, performance.now(), () => true, again)
    }
    again()
  }
}

function runOpen(run: Run): void {
  const gapMs = 1_000 / (run.options.rate ?? 1_000)
  const idle: Client[] = []
  const dueMs: number[] = []
  let clients = 0
  let next = 0
  const serve = (): void => {
    while (dueMs.length > 0) {
      let client = idle.pop()
      if (client !== undefined && !client.isUsable) {
        clients--
        continue
      }
      if (client === undefined) {
        if (clients >= run.options.connections) return
        client = run.client()
        clients++
      }
      const used = client
      run.call(
        used,
        dueMs.shift() ?? 0,
        () => true,
        () => {
          idle.push(used)
          serve()
        },
      )
    }
  }
  const tick = (): void => {
    const nowMs = performance.now()
    for (; run.startedMs + next * gapMs <= nowMs && nowMs < run.stopMs; next++) dueMs.push(run.startedMs + next * gapMs)
    serve()
    if (nowMs < run.stopMs) setTimeout(tick, 1)
  }
  tick()
}

function runStreams(run: Run): void {
  const spreadMs = 500
  const isWhole = (text: string): boolean => text.includes("data: [DONE]")
  for (let i = 0; i < run.options.connections; i++) {
    setTimeout(
      () => run.call(run.client(), performance.now(), isWhole, () => {}),
      (i * spreadMs) / run.options.connections,
    )
  }
}

const options = JSON.parse(process.argv[2] ?? "{}") as LoadOptions
const run = new Run(options)
if (options.mode === "closed") runClosed(run)
else if (options.mode === "open") runOpen(run)
else runStreams(run)
await run.finished()
console.log(JSON.stringify(run.result()))
process.exit(0)
