/**
 * Delivers what stands in the outbox. Any number of processes may run it; each message is tried by one of them at a time.
 * A message arrives twice only where its receiver's answer was lost, and then under the same id.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import type { AlertMessage } from "./alert-message.ts"
import { type ChannelRow, readChannel } from "./channel-rows.ts"
import { claimDue, type DeliveryRow, readDelivery, type SendOutcome, writeOutcome, writeTest } from "./deliveries.ts"
import { readDigestCsv } from "./digest-runs.ts"
import { findRecipients, nobodyReason } from "./recipients.ts"
import { mail, post, type SendOptions } from "./send.ts"

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
  readonly #work: RegularWork
  #isStopped = false
  /** What became of attempts of this process. */
  readonly attempts: Record<SendOutcome["kind"], number> = { delivered: 0, failed: 0, refused: 0 }

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: false,
      work: () => this.deliverDue(),
      log: options.log,
      failing: "alerts cannot be delivered, the ledger is away",
      mended: "alerts are delivered again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Resolves when the attempts under way have ended: what is still waiting stays in the outbox. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work.stop()
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

  async #attempt(delivery: DeliveryRow): Promise<void> {
    const { sql, clock, log, random = Math.random } = this.#options
    const outcome = await this.#send(delivery)
    this.attempts[outcome.kind] += 1
    await writeOutcome(sql, delivery, outcome, clock.nowMs(), random())
    if (outcome.kind === "delivered") return
    const { id, channel_id, attempts } = delivery
    log.warn(
      { alert: "delivery", delivery_id: id, channel_id, attempts, reason: outcome.reason },
      "alert not delivered",
    )
  }

  async #send(delivery: DeliveryRow): Promise<SendOutcome> {
    const { sql, clock } = this.#options
    const { id, channel_id, message, arrived } = delivery
    const channel = await readChannel(sql, channel_id)
    if (channel === null) return { kind: "refused", reason: "the channel was deleted" }
    const { kind } = channel
    if (kind !== "email") return post(this.#options, { ...channel, kind }, id, message, clock.nowMs())
    const recipients = await findRecipients(sql, channel, delivery.user_id)
    if (recipients.named.length + recipients.lookedUp.length === 0) {
      return { kind: "refused", reason: nobodyReason(channel, delivery.user_id) }
    }
    const csv = message.kind === "digest" ? await readDigestCsv(sql, message) : null
    return mail(this.#options, { id, message, csv, recipients, arrived })
  }
}
