/** Things that were opened are registered for closing on the next line, and closed in reverse order. */
import type { Log } from "./log.ts"

export class Closing {
  readonly #steps: { name: string; close: () => Promise<unknown> | unknown }[] = []
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  add(name: string, close: () => Promise<unknown> | unknown): void {
    this.#steps.push({ name, close })
  }

  /**
   * Closes everything, last opened first; a step that fails is logged and does not keep the others from closing. False
   * where one failed, or said by resolving with false that it was not clean.
   */
  async closeAll(): Promise<boolean> {
    let isClean = true
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        if ((await step.close()) === false) isClean = false
      } catch (error) {
        isClean = false
        this.#log.error({ err: error, step: step.name }, "closing failed")
      }
    }
    return isClean
  }
}
