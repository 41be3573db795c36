/** What stands in the kernel's buffers between two ends of a TCP connection on this machine. Linux only. */
import { readFileSync } from "node:fs"

/** Bytes on their way from the socket at `fromPort` to its peer at `toPort`: not yet delivered, or not yet read. */
export function bytesUnderWay(fromPort: number, toPort: number): number {
  let bytes: number | null = null
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readFileSync(file, "utf8").split("\n").slice(1)) {
      const [, local, remote, , queues] = line.trim().split(/\s+/)
      const [sent, received] = (queues ?? "").split(":").map((hex) => Number.parseInt(hex, 16))
      const [own, peer] = [portOf(local), portOf(remote)]
      if (own === fromPort && peer === toPort) bytes = (bytes ?? 0) + (sent ?? 0)
      if (own === toPort && peer === fromPort) bytes = (bytes ?? 0) + (received ?? 0)
    }
  }
  if (bytes === null) throw new Error(`there is no connection between the ports ${fromPort} and ${toPort}`)
  return bytes
}

function portOf(address: string | undefined): number {
  return Number.parseInt(address?.split(":")[1] ?? "", 16)
}
