/**
 * Delivers what stands in the outbox. Any number of processes may run it; each message is tried by one of them at a time.
 * A message arrives twice only where its receiver's answer was lost, and then under the same id.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { AlertMessage } from "./alert-message.ts"
import { type ChannelRow, readChannel } from "./channel-rows.ts"
import { claimDue, type DeliveryRow, readDelivery, type SendOutcome, writeOutcome, writeTest } from "./deliveries.ts"
import { type SendOptions, send } from "./send.ts"

const EVERY_MS = 2_000
const AT_ONCE_MAX = 10

export type DeliveryOptions = SendOptions & {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to 1. */
  readonly random?: () => number
}

export class DeliveryWorker {
  readonly #options: DeliveryOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | null = null
  #isStopped = false
  #isFailing = false

  constructor(options: DeliveryOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), EVERY_MS)
    this.#timer.unref()
  }

  /** Resolves when the attempts under way have ended: what is still waiting stays in the outbox. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    await this.#running
  }

  /** Tries all that is due now, once; returns how many attempts were made. */
  async deliverDue(): Promise<number> {
    const { sql, clock } = this.#options
    let attempts = 0
    while (!this.#isStopped) {
      const claimed = await claimDue(sql, clock.nowMs(), AT_ONCE_MAX)
      if (claimed.length === 0) break
      attempts += claimed.length
      await Promise.all(claimed.map((delivery) => this.#attempt(delivery)))
    }
    return attempts
  }

  /** Sends the message now and once; resolves with the delivery as it was logged. */
  async test(channel: ChannelRow, message: AlertMessage): Promise<DeliveryRow> {
    const { sql, clock } = this.#options
    const test = { organizationId: channel.organization_id, channelId: channel.id, message }
    const delivery = await writeTest(sql, test, clock.nowMs())
    await this.#attempt(delivery)
    return (await readDelivery(sql, delivery.id)) ?? delivery
  }

  #tick(): void {
    this.#running ??= this.#deliverAndTell().finally(() => {
      this.#running = null
    })
  }

  async #deliverAndTell(): Promise<void> {
    const { log } = this.#options
    try {
      await this.deliverDue()
      if (this.#isFailing) log.info("alerts are delivered again")
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) log.warn({ err: error }, "alerts cannot be delivered, the ledger is away")
      this.#isFailing = true
    }
  }

  async #attempt(delivery: DeliveryRow): Promise<void> {
    const { sql, clock, log, random = Math.random } = this.#options
    const outcome = await this.#send(delivery)
    await writeOutcome(sql, delivery, outcome, clock.nowMs(), random())
    if (outcome.kind === "delivered") return
    const { id, channel_id, attempts } = delivery
    log.warn(
      { alert: "delivery", delivery_id: id, channel_id, attempts, reason: outcome.reason },
      "alert not delivered",
    )
  }

  async #send({ id, channel_id, message }: DeliveryRow): Promise<SendOutcome> {
    const { sql, clock } = this.#options
    const channel = await readChannel(sql, channel_id)
    if (channel === null) return { kind: "refused", reason: "the channel was deleted" }
    return send(this.#options, channel, id, message, clock.nowMs())
  }
}
