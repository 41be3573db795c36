/** A TCP link to Postgres that a test can cut: at once, or just when Postgres answers, so that the answer is lost. */
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

export type CuttableLink = {
  /** The database's url through the link. */
  readonly url: string
  /** Connections that were made through it. */
  connections(): number
  /** Cuts what is open and refuses new connections. */
  cut(): void
  /** Takes connections again. */
  mend(): void
  /** Lets the next message with this text through to Postgres, waits for the answer, and cuts instead of passing it on. */
  loseAnswerTo(text: string): Promise<void>
  close(): Promise<void>
}

export async function openCuttableLink(databaseUrl: string): Promise<CuttableLink> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let isCut = false
  let connections = 0
  let losing: { text: string; by: Socket | null; lost(): void } | null = null
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    connections++
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on("data", (bytes) => {
      if (losing?.by === null && bytes.includes(losing.text)) losing.by = upstream
      upstream.write(bytes)
    })
    upstream.on("data", (bytes) => {
      // CommandComplete: the statement is done and committed, and only the news of it is lost.
      if (losing?.by === upstream && bytes.includes("SELECT 1\0")) {
        losing.lost()
        losing = null
        cutAll()
        return
      }
      client.write(bytes)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the link has no port")
  const url = new URL(databaseUrl)
  url.hostname = "127.0.0.1"
  url.port = String(address.port)
  return {
    url: url.href,
    connections: () => connections,
    cut: () => {
      isCut = true
      cutAll()
    },
    mend: () => {
      isCut = false
    },
    loseAnswerTo: (text) =>
      new Promise((resolve) => {
        losing = { text, by: null, lost: resolve }
      }),
    close: async () => {
      cutAll()
      server.close()
      await once(server, "close")
    },
  }
}
