/**
 * Runs in a worker thread of the embedded Postgres: waits for standard input to close, which happens when the parent
 * goes, however it goes. A thread of its own, because a long statement blocks the main thread, and PGlite obeys no
 * time-out: a main thread that has not closed in time is killed, so that the data directory's lock never outlives it.
 */
import { Socket } from "node:net"
import { parentPort, workerData } from "node:worker_threads"

const { closeMsMax } = workerData as { closeMsMax: number }
const stdin = new Socket({ fd: 0, readable: true, writable: false })
stdin.once("close", () => {
  parentPort?.postMessage("parent gone")
  setTimeout(() => process.kill(process.pid, "SIGKILL"), closeMsMax)
})
// A reset is followed by "close".
stdin.on("error", () => undefined)
stdin.resume()
