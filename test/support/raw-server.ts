/** A server that speaks bytes: tests write what no HTTP library would send, when they want it sent. */
import { once } from "node:events"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"

export type RawServer = {
  readonly origin: string
  readonly port: number
  /** Sockets accepted so far. */
  readonly accepted: readonly Socket[]
  stop(): Promise<void>
}

/** Calls `onRequest` for each request that has come whole, counted per connection from 0. */
export async function startRawServer(
  onRequest: (socket: Socket, index: number, request: string) => void,
): Promise<RawServer> {
  const server = createServer((socket) => serveRaw(socket, onRequest))
  return listenRaw(server, "http")
}

export async function listenRaw(server: Server, scheme: "http" | "https"): Promise<RawServer> {
  const accepted: Socket[] = []
  server.on(scheme === "http" ? "connection" : "secureConnection", (socket: Socket) => accepted.push(socket))
  server.listen(0, "127.0.0.1", 1_024)
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return {
    origin: `${scheme}://127.0.0.1:${port}`,
    port,
    accepted,
    async stop() {
      const closed = once(server, "close")
      server.close()
      for (const socket of accepted) socket.destroy()
      await closed
    },
  }
}

export function serveRaw(socket: Socket, onRequest: (socket: Socket, index: number, request: string) => void): void {
  let pending = ""
  let index = 0
  socket.setNoDelay(true)
  // A client that resets its connection is what some tests are about.
  socket.on("error", () => socket.destroy())
  socket.on("data", (data) => {
    pending += data.toString("latin1")
    for (;;) {
      const headEnd = pending.indexOf("\r\n\r\n")
      if (headEnd < 0) return
      const bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(pending.slice(0, headEnd))?.[1] ?? 0)
      const end = headEnd + 4 + bodyBytes
      if (pending.length < end) return
      const request = pending.slice(0, end)
      pending = pending.slice(end)
      onRequest(socket, index++, request)
    }
  })
}
