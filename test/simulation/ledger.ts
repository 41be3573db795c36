/** The ledger and the journals of a simulated world: what is written down, of which call, and how much of each journal is in. */
import type { LedgerSnapshot } from "../../src/admission/limit-store.ts"
import type { DurableCharge } from "../../src/admission/limits.ts"

export type Row = { readonly seq: number; readonly id: string; readonly charges: readonly DurableCharge[] }

export class Ledger {
  /** Call -> what it was charged: a call that comes twice is one record. */
  readonly #records = new Map<string, readonly DurableCharge[]>()
  readonly #acks = new Map<string, number>()
  /** Proxy -> when it was last seen. */
  readonly seenAtMs = new Map<string, number>()
  isAway = false

  ship(journalId: string, rows: readonly Row[]): void {
    if (this.isAway) throw new Error("the ledger is away")
    for (const { seq, id, charges } of rows) {
      if (!this.#records.has(id)) this.#records.set(id, charges)
      this.#acks.set(journalId, Math.max(seq, this.acknowledged(journalId)))
    }
  }

  acknowledged(journalId: string): number {
    return this.#acks.get(journalId) ?? 0
  }

  has(id: string): boolean {
    return this.#records.has(id)
  }

  /** By `limit|subject|window`. */
  sums(): Map<string, bigint> {
    const sums = new Map<string, bigint>()
    for (const charges of this.#records.values()) {
      for (const { limit_id, subject, window, amount } of charges) {
        const name = `${limit_id}|${subject}|${window}`
        sums.set(name, (sums.get(name) ?? 0n) + BigInt(amount))
      }
    }
    return sums
  }

  snapshot(): LedgerSnapshot {
    if (this.isAway) throw new Error("the ledger is away")
    const settled = [...this.sums()].map(([name, amount]) => {
      const [limitId = "", subject = "", window = ""] = name.split("|")
      return { limitId, subject, window, settled: amount }
    })
    return { settled, acks: new Map(this.#acks) }
  }
}

/** What outlives a process: the calls that it has begun, and those that have ended. */
export class Journal {
  readonly id: string
  /** Ended calls, in order; those before `prunedSeq` are forgotten. */
  readonly rows: Row[] = []
  prunedSeq = 0
  shippedSeq = 0
  /** Rows up to here are on the disk; a kill loses the others. */
  durableSeq = 0
  /** Calls under way -> what their record says if the process dies. */
  readonly open = new Map<string, readonly DurableCharge[]>()

  constructor(id: string) {
    this.id = id
  }

  end(id: string, charges: readonly DurableCharge[]): void {
    this.rows.push({ seq: this.rows.length + 1, id, charges })
  }

  after(seq: number): readonly Row[] {
    return this.rows.slice(seq)
  }
}
