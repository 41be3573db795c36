/**
 * Bounds how many tools, operations and tags a key may bring into being: each is a row of its own in every rollup, so a
 * caller that puts an id into a tool's name would make as many rows as calls. Beyond the bound of an hour a new value
 * is recorded as `other`, and counted.
 */

import { LRUCache } from "lru-cache"

const HOUR_MS = 3_600_000
/** Values are remembered for this many keys; those that have been silent longest are forgotten first. */
const KEYS_MAX = 10_000

export const FOLDED = "other"

type Known = { hour: number; values: Set<string> }

export class NewValues {
  /** May be changed at any time; values that are known stay known. */
  valuesMax: number
  readonly #known = new LRUCache<string, Known>({ max: KEYS_MAX })
  #folded = 0

  constructor(valuesMax: number) {
    this.valuesMax = valuesMax
  }

  /** How many values were recorded as `other` since the start. */
  get folded(): number {
    return this.#folded
  }

  /** The value itself, or `other` where the key has named too many new ones in this hour. `nowMs` is epoch milliseconds. */
  admit(keyId: string, kind: "tool" | "operation" | "tag", value: string, nowMs: number): string {
    if (value === "") return value
    const known = this.#of(keyId, Math.floor(nowMs / HOUR_MS))
    const named = `${kind} ${value}`
    if (known.values.has(named)) return value
    if (known.values.size >= this.valuesMax) {
      this.#folded++
      return FOLDED
    }
    known.values.add(named)
    return value
  }

  #of(keyId: string, hour: number): Known {
    const known = this.#known.get(keyId)
    if (known?.hour === hour) return known
    const fresh: Known = { hour, values: new Set() }
    this.#known.set(keyId, fresh)
    return fresh
  }
}
