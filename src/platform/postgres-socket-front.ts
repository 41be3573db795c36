/**
 * The wire front of the embedded Postgres: many sockets, one backend. A client owns the backend from the first message
 * of a turn until ReadyForQuery says idle, so no statement ever meets another client's transaction; the others wait in
 * order of arrival. What a client leaves behind (a transaction, prepared statements) is cleared when its socket closes.
 *
 * The backend runs synchronously and hands over a whole answer at once: an answer is held in memory until its client
 * has read it, and no further turn of that client is begun before.
 */
import { once } from "node:events"
import { createServer } from "node:net"
import { BackendQueue } from "./backend-queue.ts"
import { type ClientSettings, SocketClient } from "./postgres-socket-client.ts"

/** What is left out stands in DEFAULTS. */
export type FrontOptions = Omit<ClientSettings, "messageBytesMax" | "ownerIdleMsMax"> & Partial<typeof DEFAULTS>

export interface SocketFront {
  /** Listens on 127.0.0.1. */
  port: number
  /** Runs `work` while no client owns the backend. */
  whileIdle<T>(work: () => Promise<T>): Promise<T>
  /** Ends all clients, rolls back what they left open, stops listening. */
  close(): Promise<void>
}

const DEFAULTS = { connectionsMax: 100, messageBytesMax: 64 * 1024 * 1024, ownerIdleMsMax: 60_000 }

/** Starts listening on a free port of 127.0.0.1. */
export async function listenPostgresFront(options: FrontOptions): Promise<SocketFront> {
  const settings = { ...DEFAULTS, ...options }
  const backend = new BackendQueue()
  const clients = new Map<SocketClient, Promise<void>>()
  let lastId = 0
  const server = createServer({ noDelay: true }, (socket) => {
    const client = new SocketClient(++lastId, socket, backend, settings)
    if (clients.size >= settings.connectionsMax)
      client.refuse("53300", `more than ${settings.connectionsMax} connections`)
    const served = client.serve().finally(() => clients.delete(client))
    clients.set(client, served)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  server.on("error", options.onBackendLost)
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the socket front has no port")
  return {
    port: address.port,
    async whileIdle(work) {
      const owner = {}
      await backend.acquire(owner)
      try {
        return await work()
      } finally {
        backend.release()
      }
    },
    async close() {
      server.close()
      for (const client of clients.keys()) client.end()
      await Promise.all(clients.values())
    },
  }
}
