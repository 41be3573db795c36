/** Port 0 for a process that cannot be asked which one it got, or for several: a free port, found before they start. */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"

/** The port may be taken again before it is used; that is told like any port that is taken. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const closed = once(server, "close")
  server.close()
  await closed
  return port
}
