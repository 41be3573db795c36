/**
 * Whether to ask a store at all, decided by its last answers, without clock or store. Closed: every act is tried. Open:
 * none is, until a back-off has passed. Half open: one probe is out; its failure doubles the back-off, and whoever sent
 * it closes the breaker once the store has taken what it missed.
 */
export type BreakerOptions = {
  /** Failures one after the other that open it. */
  readonly failuresMax: number
  /** Or this share of failures, in percent, among at least `actsMin` acts of one stretch of `stretchMs`. */
  readonly failuresPercentMax: number
  readonly actsMin: number
  readonly stretchMs: number
  readonly backOffMs: number
  readonly backOffMsMax: number
}

/** A store that fails every other act for a second, or five in a row, is better left alone. */
export const BREAKER_DEFAULTS: BreakerOptions = {
  failuresMax: 5,
  failuresPercentMax: 50,
  actsMin: 20,
  stretchMs: 10_000,
  backOffMs: 250,
  backOffMsMax: 5_000,
}

export class Breaker {
  readonly #options: BreakerOptions
  #state: "closed" | "open" | "half_open" = "closed"
  #failuresInRow = 0
  #stretchFromMs = Number.NEGATIVE_INFINITY
  #acts = 0
  #failures = 0
  #backOffMs: number
  #probeAtMs = 0

  constructor(options: BreakerOptions = BREAKER_DEFAULTS) {
    this.#options = options
    this.#backOffMs = options.backOffMs
  }

  get isClosed(): boolean {
    return this.#state === "closed"
  }

  /** An act was answered. */
  succeed(atMs: number): void {
    this.#failuresInRow = 0
    this.#count(atMs)
  }

  /** An act failed or was not answered in time; true where this opened a closed breaker. */
  fail(atMs: number): boolean {
    if (this.#state === "open") return false
    if (this.#state === "half_open") {
      this.#backOffMs = Math.min(2 * this.#backOffMs, this.#options.backOffMsMax)
      this.#open(atMs)
      return false
    }
    this.#count(atMs)
    this.#failuresInRow += 1
    this.#failures += 1
    const { failuresMax, actsMin, failuresPercentMax } = this.#options
    const isOften = this.#acts >= actsMin && this.#failures * 100 >= this.#acts * failuresPercentMax
    if (this.#failuresInRow < failuresMax && !isOften) return false
    this.#open(atMs)
    return true
  }

  /** True for the one who may send the probe. */
  tryProbe(atMs: number): boolean {
    if (this.#state !== "open" || atMs < this.#probeAtMs) return false
    this.#state = "half_open"
    return true
  }

  /** The store answers and has taken what it missed. */
  close(): void {
    this.#state = "closed"
    this.#failuresInRow = 0
    this.#stretchFromMs = Number.NEGATIVE_INFINITY
    this.#backOffMs = this.#options.backOffMs
  }

  /** Until the next probe; 0 where one is out or none is needed. */
  waitMs(atMs: number): number {
    return this.#state === "open" ? Math.max(0, this.#probeAtMs - atMs) : 0
  }

  #open(atMs: number): void {
    this.#state = "open"
    this.#probeAtMs = atMs + this.#backOffMs
  }

  #count(atMs: number): void {
    if (atMs - this.#stretchFromMs >= this.#options.stretchMs) {
      this.#stretchFromMs = atMs
      this.#acts = 0
      this.#failures = 0
    }
    this.#acts += 1
  }
}
