/**
 * The outbox's figures in the metrics registry. What waits is the same for all processes that share a ledger, so it is to
 * be read from one of them; what became of attempts is each process's own.
 */
import type { Registry } from "prom-client"
import { registerSeries } from "../platform/figures.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import type { DeliveryWorker } from "./delivery-worker.ts"

const EVERY_MS = 15_000

type Waiting = { readonly messages: number; readonly oldestMs: number | null }

export class DeliveryFigures {
  readonly #work: RegularWork
  #waiting: Waiting = { messages: 0, oldestMs: null }

  constructor({ sql, log }: { readonly sql: Sql; readonly log: Log }) {
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: async () => {
        this.#waiting = await readWaiting(sql)
      },
      log,
      failing: "messages that wait cannot be counted, the figures stand still",
      mended: "messages that wait are counted again",
    })
  }

  start(): void {
    this.#work.start()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  register(registry: Registry, worker: Pick<DeliveryWorker, "attempts">, nowMs: () => number): void {
    const waiting = {
      name: "tallygate_alert_deliveries_waiting",
      help: "Messages of alerts and digests that have not arrived yet and are still tried, of all proxies together.",
      type: "gauge",
    } as const
    registerSeries(registry, waiting, () => [{ labels: {}, value: this.#waiting.messages }])
    const oldest = {
      name: "tallygate_alert_deliveries_oldest_seconds",
      help: "Age of the oldest message that waits; 0 where there is none.",
      type: "gauge",
    } as const
    registerSeries(registry, oldest, () => {
      const { oldestMs } = this.#waiting
      return [{ labels: {}, value: oldestMs === null ? 0 : Math.max(0, (nowMs() - oldestMs) / 1_000) }]
    })
    const attempts = {
      name: "tallygate_alert_delivery_attempts_total",
      help: "Attempts to deliver a message, by outcome; refused is not tried again.",
      type: "counter",
    } as const
    registerSeries(registry, attempts, () =>
      Object.entries(worker.attempts).map(([outcome, value]) => ({ labels: { outcome }, value })),
    )
  }
}

async function readWaiting(sql: Sql): Promise<Waiting> {
  const [row] = await sql<{ messages: number; oldest: Date | null }[]>`
    SELECT count(*)::int AS messages, min(created_at) AS oldest FROM alert_deliveries WHERE state = 'waiting'`
  return { messages: row?.messages ?? 0, oldestMs: row?.oldest?.getTime() ?? null }
}
