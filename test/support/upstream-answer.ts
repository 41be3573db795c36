/**
 * One answer of the fake upstream on its way out: writes that can be told apart on the wire, pauses that end when the
 * client leaves, and the ways in which a provider lets a connection die.
 */
import type { ServerResponse } from "node:http"
import { createGzip, constants as zlib } from "node:zlib"

/**
 * A step of a scripted answer. `end` finishes it, which the end of the list does too; `close` ends the connection
 * without finishing the body; `reset` ends it with a TCP reset; `hang` says nothing more.
 */
export type ScriptStep = Buffer | { readonly delayMs: number } | "end" | "close" | "reset" | "hang"

export type Script = {
  /** 200 unless told. */
  readonly status?: number
  /** Sent as given and alone: no date is added. Without a content-length the body is chunked. */
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly chunks: readonly ScriptStep[]
}

/** One answer on its way: knows whether its client has left and whether we ended the connection ourselves. */
export class Answer {
  readonly response: ServerResponse
  #isOurEnd = false
  #hasLeft = false

  /** `onAbort` is called when the client leaves before the answer is complete. */
  constructor(response: ServerResponse, onAbort: () => void) {
    this.response = response
    response.on("close", () => {
      this.#hasLeft = true
      if (!this.#isOurEnd && !response.writableFinished) onAbort()
    })
  }

  get hasLeft(): boolean {
    return this.#hasLeft
  }

  /** Ends the connection with a TCP reset, or without one as a server that was closed. */
  drop(how: "reset" | "close"): void {
    this.#isOurEnd = true
    const { socket } = this.response
    if (how === "reset") socket?.resetAndDestroy()
    else socket?.end(() => socket.destroy())
  }

  /** Waits, but no longer than the client does. */
  async pause(delayMs: number): Promise<void> {
    if (this.#hasLeft) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, delayMs)
      const { response } = this
      function done(): void {
        clearTimeout(timer)
        response.off("close", done)
        resolve()
      }
      response.on("close", done)
    })
  }

  /** Writes and waits until the bytes were handed to the kernel, so that the next write is one of its own. */
  async write(bytes: Buffer): Promise<void> {
    if (this.#hasLeft || bytes.length === 0) return
    await new Promise<void>((resolve) => this.response.write(bytes, () => resolve()))
  }
}

/** Sends a script, byte for byte. */
export async function playScript(answer: Answer, script: Script): Promise<void> {
  const { response } = answer
  response.sendDate = false
  response.writeHead(script.status ?? 200, script.headers ?? { "content-type": "application/json" })
  response.flushHeaders()
  for (const step of script.chunks) {
    if (answer.hasLeft || step === "hang") return
    if (step === "end") break
    if (step === "reset" || step === "close") return answer.drop(step)
    if (Buffer.isBuffer(step)) await answer.write(step)
    else await answer.pause(step.delayMs)
  }
  response.end()
}

/** Writes one SSE event, in one piece or in two that arrive apart. */
export async function writeEvent(answer: Answer, bytes: Buffer, isSplit: boolean): Promise<void> {
  if (!isSplit) return answer.write(bytes)
  const middle = bytes.length >> 1
  await answer.write(bytes.subarray(0, middle))
  await answer.pause(1)
  await answer.write(bytes.subarray(middle))
}

/** Gzip whose output after each event is decodable at once, as streaming servers send it. */
export class GzipCoder {
  readonly #gzip = createGzip({ flush: zlib.Z_SYNC_FLUSH })

  async code(bytes: Buffer): Promise<Buffer> {
    await new Promise<void>((resolve) => this.#gzip.write(bytes, () => resolve()))
    return this.#read()
  }

  async finish(): Promise<Buffer> {
    await new Promise<void>((resolve) => {
      this.#gzip.end(() => resolve())
    })
    return this.#read()
  }

  #read(): Buffer {
    return (this.#gzip.read() as Buffer | null) ?? Buffer.alloc(0)
  }
}
