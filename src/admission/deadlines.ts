/**
 * Acts under way, each with the same deadline: what is not answered by then has failed, even if its promise never
 * settles. One timer looks at all of them, since a timer for each act would cost more than the act; a deadline is
 * therefore kept to within a tick.
 */
const TICK_MS = 25

/** No answer in time: the act may or may not have been done. */
export class UnansweredError extends Error {
  constructor(message: string) {
    super(message)
    this.name = "UnansweredError"
  }
}

type Act = { readonly dueMs: number; readonly fail: (error: UnansweredError) => void }

export class Deadlines {
  readonly #deadlineMs: number
  readonly #elapsedMs: () => number
  /** In the order of their deadlines. */
  readonly #acts = new Set<Act>()
  #timer: NodeJS.Timeout | null = null
  #wakesAtMs = 0

  /** `elapsedMs` never goes back. */
  constructor(deadlineMs: number, elapsedMs: () => number) {
    this.#deadlineMs = deadlineMs
    this.#elapsedMs = elapsedMs
  }

  /** Calls `answered` or `failed` exactly once; `late` where the answer comes after the failure. */
  watch<T>(
    startedMs: number,
    answer: Promise<T>,
    answered: (value: T) => void,
    failed: (error: unknown) => void,
    late?: (value: T) => void,
  ): void {
    const act: Act = { dueMs: startedMs + this.#deadlineMs, fail: failed }
    this.#acts.add(act)
    if (this.#timer === null) this.#arm(startedMs)
    answer.then(
      (value) => {
        if (this.#acts.delete(act)) answered(value)
        else late?.(value)
      },
      // A failure after the deadline tells nothing new: the act is unknown already.
      (error: unknown) => {
        if (this.#acts.delete(act)) failed(error)
      },
    )
  }

  /** Waits for none of the acts under way any longer. */
  failAll(message: string): void {
    for (const act of this.#acts) this.#fail(act, message)
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #arm(nowMs: number): void {
    this.#wakesAtMs = nowMs + TICK_MS
    this.#timer = setTimeout(() => this.#tick(true), TICK_MS).unref()
  }

  /** A tick that comes late had a busy event loop, and the answers may be waiting behind it: they are let in first. */
  #tick(mayGiveTime: boolean): void {
    const nowMs = this.#elapsedMs()
    if (mayGiveTime && nowMs - this.#wakesAtMs > TICK_MS) {
      this.#timer = setTimeout(() => this.#tick(false), 1).unref()
      return
    }
    this.#timer = null
    for (const act of this.#acts) {
      if (act.dueMs > nowMs) break
      this.#fail(act, `no answer within ${this.#deadlineMs} ms`)
    }
    if (this.#acts.size > 0 && this.#timer === null) this.#arm(nowMs)
  }

  #fail(act: Act, message: string): void {
    if (this.#acts.delete(act)) act.fail(new UnansweredError(message))
  }
}
