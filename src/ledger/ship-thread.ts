/** Starts and ends the shipper's thread. */
import { Worker } from "node:worker_threads"
import type { ShipWorkerData } from "./journal-protocol.ts"

/** Batches are short-lived and large: with the usual young generation each of them would be copied several times. */
const HEAP = { maxYoungGenerationSizeMb: 64 }

export function startShipWorker(data: ShipWorkerData): Worker {
  return new Worker(new URL("./ship-worker.ts", import.meta.url), { workerData: data, resourceLimits: HEAP })
}

/** Resolves when the thread has ended by itself, or was ended because it took longer than it may. */
export async function exitOf(worker: Worker, withinMs: number): Promise<void> {
  if (worker.threadId === -1) return
  const timer = setTimeout(() => void worker.terminate(), withinMs)
  await new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  clearTimeout(timer)
}
