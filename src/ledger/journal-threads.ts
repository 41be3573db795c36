/** Starts and ends the journal's two threads. */
import { once } from "node:events"
import { type MessagePort, Worker } from "node:worker_threads"
import type { JournalToMain, JournalWorkerData, ShipWorkerData } from "./journal-protocol.ts"

/** Starts the thread that owns the file and waits until the file is open and locked. Throws what opening it threw. */
export async function startJournalWorker(data: JournalWorkerData): Promise<Worker> {
  const worker = new Worker(new URL("./journal-worker.ts", import.meta.url), { workerData: data })
  const [message] = (await once(worker, "message")) as [JournalToMain]
  if (message.kind !== "opened") throw new Error(`The journal's thread began with ${message.kind}.`)
  return worker
}

export function startShipWorker(data: ShipWorkerData, journalPort: MessagePort): Worker {
  return new Worker(new URL("./ship-worker.ts", import.meta.url), { workerData: data, transferList: [journalPort] })
}

/** Resolves when the thread has ended by itself, or was ended because it took longer than it may. */
export async function exitOf(worker: Worker, withinMs: number): Promise<void> {
  if (worker.threadId === -1) return
  const timer = setTimeout(() => void worker.terminate(), withinMs)
  await new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  clearTimeout(timer)
}
