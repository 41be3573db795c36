/** A limit store that can be away in every way we know, in front of one that counts. Time is the test's fake timers. */
import type { Charge, LimitStore } from "../../src/admission/limit-store.ts"

/**
 * `failing`: rejects at once, nothing is done. `silent`: never answers, nothing is done. `losing`: everything is done,
 * no answer ever comes. `slow`: done at once, answered after `SLOW_MS`. `belated`: done only after `SLOW_MS`, as by a
 * stopped server that finds the commands of connections long closed. `refusing`: what has to be written is refused at
 * once, and everything else is answered, as by a read-only replica.
 */
export type Mode = "ok" | "failing" | "refusing" | "silent" | "losing" | "slow" | "belated"
export const SLOW_MS = 400

export class FaultyStore implements LimitStore {
  mode: Mode = "ok"
  /** While set, reserves take nothing and settles are left to the ledger. */
  isRecovering = false
  /** Every act that was put to this store. */
  readonly asked: string[] = []
  readonly #inner: LimitStore

  constructor(inner: LimitStore) {
    this.#inner = inner
  }

  reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]) {
    return this.#through(`reserve ${id}`, async () =>
      this.isRecovering ? ({ kind: "recovering" } as const) : this.#inner.reserve(id, owner, leaseMs, charges),
    )
  }
  extend(id: string, charges: readonly Charge[]) {
    return this.#through(`extend ${id}`, () => this.#inner.extend(id, charges))
  }
  settle(id: string, actual: readonly Charge[]) {
    return this.#through(`settle ${id}`, async () =>
      this.isRecovering ? ("recovering" as const) : this.#inner.settle(id, actual),
    )
  }
  release(organizationId: string, id: string) {
    return this.#through(`release ${id}`, () => this.#inner.release(organizationId, id))
  }
  renew(organizationId: string, ids: readonly string[], leaseMs: number) {
    return this.#through(`renew ${ids}`, () => this.#inner.renew(organizationId, ids, leaseMs))
  }
  sweep() {
    return this.#through("sweep", () => this.#inner.sweep())
  }
  read(charges: readonly Charge[]) {
    return this.#inner.read(charges)
  }
  holds(max: number, organizationId?: string) {
    return this.#inner.holds(max, organizationId)
  }

  #through<T>(name: string, act: () => Promise<T>): Promise<T> {
    this.asked.push(name)
    switch (this.mode) {
      case "ok":
        return act()
      case "failing":
        return Promise.reject(new Error("connection refused"))
      case "refusing":
        return /^(reserve|extend|settle)/.test(name) ? Promise.reject(new Error("READONLY")) : act()
      case "silent":
        return new Promise(() => {})
      case "losing":
        return act().then(() => new Promise(() => {}))
      case "slow":
        return act().then((answer) => new Promise((resolve) => setTimeout(resolve, SLOW_MS, answer)))
      case "belated":
        return new Promise((resolve) => setTimeout(() => resolve(act()), SLOW_MS))
    }
  }
}
