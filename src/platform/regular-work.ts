/**
 * Work that is done again and again: one turn at a time, however long it takes, and the log speaks when it begins to fail
 * and when it succeeds again, not for each turn.
 */
import type { Log } from "./log.ts"

export type RegularWorkOptions = {
  readonly everyMs: number
  /** The first turn comes with the start, and not when the time has passed once. */
  readonly beginsAtOnce: boolean
  readonly work: () => Promise<unknown>
  readonly log: Log
  /** What the log says when it begins to fail, and when it goes again. */
  readonly failing: string
  readonly mended: string
}

export class RegularWork {
  readonly #options: RegularWorkOptions
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> | null = null
  #isFailing = false

  constructor(options: RegularWorkOptions) {
    this.#options = options
  }

  /** The timer does not keep the process alive. */
  start(): void {
    if (this.#options.beginsAtOnce) this.#begin()
    this.#timer = setInterval(() => this.#begin(), this.#options.everyMs)
    this.#timer.unref()
  }

  /** Resolves when the turn under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#turn
  }

  #begin(): void {
    this.#turn ??= this.#take().finally(() => {
      this.#turn = null
    })
  }

  async #take(): Promise<void> {
    const { work, log, failing, mended } = this.#options
    try {
      await work()
      if (this.#isFailing) log.info(mended)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) log.warn({ err: error }, failing)
      this.#isFailing = true
    }
  }
}
