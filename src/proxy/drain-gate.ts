/** Bounds how many answers are read on for their usage after their callers left, so that leaving callers cannot fill memory. */
export class DrainGate {
  /** May be changed at any time; what is open beyond it goes on. */
  max: number
  #open = 0

  constructor(max: number) {
    this.max = max
  }

  /** True where one more answer may be drained; give it back with `leave`. */
  enter(): boolean {
    if (this.#open >= this.max) return false
    this.#open++
    return true
  }

  leave(): void {
    this.#open--
  }
}
