/**
 * Bounds the time series of a process whose labels others word: callers name models, providers name those they served.
 * Whoever wants to begin such series asks for their room first, and counts under `other` where there is none.
 */

export const FOLDED_LABEL = "other"

export class SeriesCap {
  /** May be changed at any time; what was taken stays, since a counter that goes looks like a restart. */
  seriesMax: number
  #taken = 0

  constructor(seriesMax: number) {
    this.seriesMax = seriesMax
  }

  /** Takes room for this many series, for good; false where so many are not left. */
  take(series: number): boolean {
    if (this.#taken + series > this.seriesMax) return false
    this.#taken += series
    return true
  }
}
