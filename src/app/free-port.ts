/** Port 0 for several processes: one free port for all of them, found before they start. */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"

/** The port may be taken again before it is used; that is told like any port that is taken. */
export async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const closed = once(server, "close")
  server.close()
  await closed
  return port
}
