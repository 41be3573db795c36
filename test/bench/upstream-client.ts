/**
 * What the way to a provider costs: CPU of this process per call for undici's `Pool.dispatch` and for our own client,
 * against the bench's upstream, in interleaved rounds. Prints the least of each and their ratio, since noise only adds.
 * Usage: node test/bench/upstream-client.ts [--rounds N] [--calls N] [--concurrency N] [--model mock|mock-c50]
 */
import { parseArgs } from "node:util"
import { type Dispatcher, Pool } from "undici"
import type { Http1Handler } from "../../src/providers/http1-call.ts"
import { Http1Pool } from "../../src/providers/http1-pool.ts"
import { announcedPort, pinCores, startScript, stopScript } from "./targets.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    calls: { type: "string", default: "20000" },
    concurrency: { type: "string", default: "32" },
    model: { type: "string", default: "mock" },
  },
})
const calls = Number(options.calls)
const concurrency = Number(options.concurrency)

const PROMPT = "Explain how a metering proxy counts tokens and prices them. ".repeat(6)
const isStream = options.model.includes("-c")
const body = Buffer.from(
  JSON.stringify({
    model: options.model,
    messages: [{ role: "user", content: PROMPT }],
    max_tokens: 256,
    ...(isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
  }),
)
const headers = ["content-type", "application/json", "user-agent", "bench/1.0", "accept", "application/json"]
headers.push("accept-encoding", "identity", "authorization", "Bearer sk-bench", "x-stainless-lang", "js")

/** Sends one call and says when it is over; `bytes` counts what came, so that both are seen to do the same work. */
type Send = (onEnd: (error: Error | null, bytes: number) => void) => void

/** What both sinks do with an answer. */
class Sink {
  readonly #onEnd: (error: Error | null, bytes: number) => void
  #bytes = 0
  headerCount = 0

  constructor(onEnd: (error: Error | null, bytes: number) => void) {
    this.#onEnd = onEnd
  }

  onConnect(): void {}

  onData(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    return true
  }

  onComplete(): void {
    this.#onEnd(null, this.#bytes)
  }

  onError(error: Error): void {
    this.#onEnd(error, this.#bytes)
  }
}

class UndiciSink extends Sink implements Dispatcher.DispatchHandler {
  /** Names are wanted in lower case and values as text, as the relay wants them. */
  onHeaders(_status: number, raw: Buffer[]): boolean {
    const text: string[] = []
    for (let i = 0; i + 1 < raw.length; i += 2) {
      text.push(raw[i]?.toString("latin1").toLowerCase() ?? "", raw[i + 1]?.toString("latin1") ?? "")
    }
    this.headerCount = text.length
    return true
  }
}

class OwnSink extends Sink implements Http1Handler {
  onHead(_status: number, text: string[]): void {
    this.headerCount = text.length
  }
}

type Figures = { readonly cpuUs: number; readonly systemUs: number; readonly bytes: number }

/** CPU per call, user and system, over `calls` calls kept at `concurrency` under way. */
async function measure(send: Send): Promise<Figures> {
  let bytes = 0
  let started = 0
  const before = process.cpuUsage()
  await new Promise<void>((resolve, reject) => {
    let ended = 0
    const next = (): void => {
      started++
      send((error, received) => {
        if (error !== null) reject(error)
        bytes += received
        ended++
        if (started < calls) next()
        else if (ended === calls) resolve()
      })
    }
    for (let i = 0; i < concurrency; i++) next()
  })
  const { user, system } = process.cpuUsage(before)
  return { cpuUs: (user + system) / calls, systemUs: system / calls, bytes }
}

async function bench(port: number): Promise<void> {
  const origin = `http://127.0.0.1:${port}`
  const undici = new Pool(origin, { connections: 4096, pipelining: 1 })
  const own = new Http1Pool(origin, { connectionsMax: 4096, waitingMax: 4096, idleMs: 30_000, trust: {} })
  const path = "/v1/chat/completions"
  const senders: Record<string, Send> = {
    undici: (onEnd) => {
      undici.dispatch({ path, method: "POST", headers, body }, new UndiciSink(onEnd))
    },
    own: (onEnd) => {
      own.dispatch(
        { path, method: "POST", headers, body, connectMs: 5_000, headMs: 60_000, idleMs: 60_000 },
        new OwnSink(onEnd),
      )
    },
  }
  const found: Record<string, { cpuUs: number; systemUs: number }[]> = { undici: [], own: [] }
  let bytesSeen = 0
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const [name, send] of Object.entries(senders)) {
      const { cpuUs, systemUs, bytes } = await measure(send)
      if (bytesSeen === 0) bytesSeen = bytes
      if (bytes !== bytesSeen) throw new Error(`${name} received ${bytes} bytes where ${bytesSeen} were expected`)
      // The first round warms up the compiler.
      if (round > 0) found[name]?.push({ cpuUs, systemUs })
    }
  }
  await undici.close()
  await own.close(1_000)
  const least = (name: string) => (found[name] ?? []).reduce((a, b) => (b.cpuUs < a.cpuUs ? b : a))
  for (const [name, all] of Object.entries(found)) {
    const { cpuUs, systemUs } = least(name)
    const rounds = all.map((round) => round.cpuUs.toFixed(1)).join(" ")
    console.log(
      `${name.padEnd(7)} least ${cpuUs.toFixed(1)} µs/call, ${systemUs.toFixed(1)} of it in the kernel; all: ${rounds}`,
    )
  }
  console.log(`own / undici ${(least("own").cpuUs / least("undici").cpuUs).toFixed(2)}`)
}

// The bench pins itself to one core; the upstream gets the other.
const upstream = startScript(["test/bench/upstream.ts"], pinCores()?.proxy, {})
try {
  await bench(await announcedPort(upstream))
} finally {
  await stopScript(upstream)
}
