/**
 * A provider whose answers a test plays by hand: it waits for a call, writes what it wants when it wants, and sees how
 * the connection behaves meanwhile. For promises about order and back pressure, which no script can hold.
 */
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export type PlayedCall = {
  readonly request: IncomingMessage
  readonly body: Buffer
  readonly response: ServerResponse
  /** Resolves when the client has left before the answer was complete. */
  readonly abandoned: Promise<void>
  /** Writes and resolves when the bytes are the kernel's, or the client has left. */
  write(bytes: string | Buffer): Promise<void>
}

export type HandPlayedProvider = {
  readonly port: number
  readonly baseUrl: string
  /** The next call, in the order of their arrival, once its body is there. */
  nextCall(): Promise<PlayedCall>
  stop(): Promise<void>
}

export async function startHandPlayedProvider(): Promise<HandPlayedProvider> {
  const arrived: PlayedCall[] = []
  const waiting: ((call: PlayedCall) => void)[] = []
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const call = playedCall(request, Buffer.concat(parts), response)
      const waiter = waiting.shift()
      if (waiter === undefined) arrived.push(call)
      else waiter(call)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return {
    port,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    nextCall() {
      const call = arrived.shift()
      return call === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(call)
    },
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, "close")
    },
  }
}

function playedCall(request: IncomingMessage, body: Buffer, response: ServerResponse): PlayedCall {
  const abandoned = new Promise<void>((resolve) => {
    response.on("close", () => {
      if (!response.writableFinished) resolve()
    })
  })
  return {
    request,
    body,
    response,
    abandoned,
    write: (bytes) => Promise.race([new Promise<void>((resolve) => response.write(bytes, () => resolve())), abandoned]),
  }
}
