/**
 * One process's connection to the simulated Redis, as TCP and the driver make it: what is sent arrives in order, late,
 * or not at all; what is answered too late is a failure although it was done; a connection that breaks fails all that
 * waits, and some of that is done after all, even seconds later. A proxy in between may send something twice.
 */
import type { RedisReply } from "./redis-data.ts"
import type { RedisServer } from "./redis-server.ts"
import type { Planned, Random, VirtualTime } from "./virtual-time.ts"

const COMMAND_TIMEOUT_MS = 150
/** Of a network at rest. */
const DELAY_MS_MAX = 2
const DOUBLED_PERCENT = 1
/** Of what had not arrived when a connection broke, so much is carried out all the same, later. */
const BELATED_PERCENT = 40
const BELATED_MS_MAX = 1_500

/** What all connections share: the server, and how it is at present. */
export type ServerState = {
  readonly server: RedisServer
  /** It keeps its connections and answers nothing. */
  hungUntilMs: number
  slowUntilMs: number
  slowMs: number
  /** Nobody listens. */
  isDown: boolean
  /** Called after each command that was carried out. */
  onDone: () => void
}

type Pending = {
  readonly words: readonly [string, ...string[]]
  reject: ((error: Error) => void) | null
  hasArrived: boolean
  /** Fails it in time. */
  timeout: Planned | null
}

export class Connection {
  readonly #state: ServerState
  readonly #time: VirtualTime
  readonly #random: Random
  readonly #owner: string
  readonly #pending = new Set<Pending>()
  #brokenUntilMs = 0
  #lastArrivalMs = 0
  #lastReplyMs = 0

  constructor(state: ServerState, time: VirtualTime, random: Random, owner: string) {
    this.#state = state
    this.#time = time
    this.#random = random
    this.#owner = owner
  }

  readonly carry = (...words: [string, ...string[]]): Promise<RedisReply> => {
    if (this.#state.isDown || this.#time.nowMs < this.#brokenUntilMs) {
      return Promise.reject(new Error("Connection is closed."))
    }
    return new Promise((resolve, reject) => {
      const one: Pending = { words, reject, hasArrived: false, timeout: null }
      this.#pending.add(one)
      one.timeout = this.#time.after(COMMAND_TIMEOUT_MS, () => this.#fail(one, "Command timed out"), this.#owner)
      const arrivalMs = Math.max(this.#lastArrivalMs, this.#time.nowMs + this.#random.next() * DELAY_MS_MAX)
      this.#lastArrivalMs = arrivalMs
      this.#time.after(arrivalMs - this.#time.nowMs, () => this.#arrive(one, resolve), "")
    })
  }

  /** Fails all that waits, and what is asked until then. */
  break(ms: number): void {
    this.#brokenUntilMs = this.#time.nowMs + ms
    for (const one of this.#pending) {
      const isBelated = !one.hasArrived && this.#random.chance(BELATED_PERCENT)
      if (isBelated) this.#time.after(this.#random.whole(0, BELATED_MS_MAX), () => this.#doLater(one.words), "")
      // The process hears of it when it runs.
      this.#time.after(0, () => this.#fail(one, "Connection is closed."), this.#owner)
      one.hasArrived = true
    }
  }

  #arrive(one: Pending, resolve: (reply: RedisReply) => void): void {
    const { hungUntilMs, slowUntilMs, slowMs, isDown } = this.#state
    const { nowMs } = this.#time
    if (one.hasArrived || isDown) return
    if (hungUntilMs > nowMs) {
      this.#time.after(hungUntilMs - nowMs, () => this.#arrive(one, resolve), "")
      return
    }
    one.hasArrived = true
    const { reply, error } = this.#do(one.words)
    if (this.#random.chance(DOUBLED_PERCENT) && !hasRefusal(reply)) {
      this.#time.after(this.#random.whole(0, 500), () => this.#doLater(one.words), "")
    }
    const busyMs = slowUntilMs > nowMs ? slowMs : 0
    const replyMs = Math.max(this.#lastReplyMs, nowMs + busyMs + this.#random.next() * DELAY_MS_MAX)
    this.#lastReplyMs = replyMs
    this.#time.after(
      replyMs - nowMs,
      () => {
        if (error !== null) this.#fail(one, error.message)
        else if (this.#forget(one)) resolve(reply)
      },
      this.#owner,
    )
  }

  #doLater(words: readonly [string, ...string[]]): void {
    if (!this.#state.isDown) this.#do(words)
  }

  #do(words: readonly [string, ...string[]]): { reply: RedisReply; error: Error | null } {
    try {
      const reply = this.#state.server.run(...words)
      return { reply, error: null }
    } catch (error) {
      if (!(error instanceof Error) || !/^[A-Z]+ /.test(error.message)) throw error
      return { reply: null, error }
    } finally {
      this.#state.onDone()
    }
  }

  #fail(one: Pending, message: string): void {
    if (this.#forget(one)) one.reject?.(new Error(message))
  }

  /** False where it was answered, or has failed, before. */
  #forget(one: Pending): boolean {
    if (one.timeout !== null) one.timeout.run = null
    return this.#pending.delete(one)
  }
}

/** A call that was refused is forgotten: sent once more it would be a call that nobody makes. No driver does that. */
function hasRefusal(reply: RedisReply): boolean {
  return typeof reply === "object" && (reply ?? []).some((one) => typeof one === "string" && /^(D|R$)/.test(one))
}
