/** What the kernel holds of a process's TCP connections, read from Linux's own table; other systems do not tell. */
import { existsSync, readFileSync } from "node:fs"

const TABLE = "/proc/net/tcp"

export const canSeeKernelBuffers = existsSync(TABLE)

/**
 * Bytes in the send and receive queues of every IPv4 connection from or to one of the ports: sent but not acknowledged,
 * and received but not read (proc(5): `tx_queue:rx_queue`, hexadecimal). A listener's own line is not a connection.
 */
export function kernelBufferedBytes(ports: readonly number[]): number {
  let bytes = 0
  for (const line of readFileSync(TABLE, "utf8").split("\n").slice(1)) {
    const [, local = "", remote = "", state, queues = ""] = line.trim().split(/\s+/)
    if (state === LISTENING || !(ports.includes(portOf(local)) || ports.includes(portOf(remote)))) continue
    for (const queue of queues.split(":")) bytes += Number.parseInt(queue, 16)
  }
  return bytes
}

const LISTENING = "0A"

function portOf(address: string): number {
  return Number.parseInt(address.split(":")[1] ?? "", 16)
}
