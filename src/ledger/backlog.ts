/** Counts ended calls on their way to the ledger, and how long the oldest of them has waited. Rows are shipped in order, so a count is enough. */

type Mark = {
  /** Ended calls up to and including this one, from the first on. */
  through: number
  readonly atMs: number
}

/** Marks are set at most this often, so that an hour without Postgres costs 14,400 of them. */
const MARK_EVERY_MS = 250

export class Backlog {
  #ended = 0
  #shipped = 0
  #lagMs = 0
  #marks: Mark[] = []
  #waiting: { readonly through: number; resolve(): void }[] = []

  get rows(): number {
    return this.#ended - this.#shipped
  }

  get shippedTotal(): number {
    return this.#shipped
  }

  /** How long the newest shipped call waited, give or take a quarter of a second; 0 before the first. */
  get lagMs(): number {
    return this.#lagMs
  }

  ended(nowMs: number): void {
    this.#ended++
    const newest = this.#marks.at(-1)
    if (newest !== undefined && nowMs - newest.atMs < MARK_EVERY_MS) newest.through = this.#ended
    else this.#marks.push({ through: this.#ended, atMs: nowMs })
  }

  shipped(count: number, nowMs: number): void {
    if (count === 0) return
    const oldest = this.#marks[0]
    if (oldest !== undefined) this.#lagMs = nowMs - oldest.atMs
    this.#shipped += count
    this.#marks = this.#marks.slice(this.#firstWaiting())
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.through <= this.#shipped) waiting.resolve()
      return waiting.through > this.#shipped
    })
  }

  oldestAgeMs(nowMs: number): number {
    const oldest = this.#marks[0]
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest.atMs)
  }

  /** Resolves when everything that has ended by now is shipped. */
  emptied(): Promise<void> {
    if (this.rows === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ through: this.#ended, resolve }))
  }

  #firstWaiting(): number {
    const index = this.#marks.findIndex((mark) => mark.through > this.#shipped)
    return index === -1 ? this.#marks.length : index
  }
}
