/** Whose turn it is at the embedded Postgres's single backend. Pure, so that fairness can be tested without sockets. */

/** Who owns the backend, and who waits for it, first come first served. */
export class BackendQueue {
  readonly #waiting: { owner: object; start: () => void }[] = []
  #owner: object | undefined
  /** The owner before the present one. */
  lastOwner: object | undefined

  acquire(owner: object): Promise<void> {
    if (this.#owner === undefined) {
      this.#owner = owner
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push({ owner, start: resolve }))
  }

  release(): void {
    this.lastOwner = this.#owner
    const next = this.#waiting.shift()
    this.#owner = next?.owner
    next?.start()
  }
}
