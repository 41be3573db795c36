/**
 * What the main thread and the shipper's thread tell one another. The main thread writes the journal; the shipper reads
 * it, writes to Postgres and says how far it has come.
 */
import type { DurableCharge } from "../admission/limits.ts"

export type ShipWorkerData = {
  readonly directory: string
  readonly journalId: string
  readonly databaseUrl: string
  /** Ends up to here were shipped by a worker before this one; 0 at first. */
  readonly shippedSeq: number
  readonly rowsPerBatchMax: number
  readonly lingerMs: number
  readonly statementMsMax: number
  readonly adoptEveryMs: number
}

/** A call of a journal, ended or cut off, and what its record charges. */
export type ChargedCall = {
  readonly id: string
  readonly organizationId: string
  readonly charges: readonly DurableCharge[]
}

/** The calls of this journal that ended after a row and belong to an organization; `gap` where older rows are gone. */
export type EndedCalls = { readonly kind: "rows"; readonly rows: readonly ChargedCall[] } | { readonly kind: "gap" }

export type MainToShipper =
  | { readonly kind: "stop" }
  /** There is an end after what you had read when you went to sleep. */
  | { readonly kind: "wake" }
  | {
      readonly kind: "list ended"
      readonly question: number
      readonly organizationId: string
      readonly afterSeq: number
    }

export type ShipperToMain =
  /** Everything up to `seq` was read: wake me when there is an end after it. */
  | { readonly kind: "idle"; readonly seq: number }
  /** Ends up to `seq` are in the ledger or in quarantine; `ends` of them since the last time. */
  | { readonly kind: "shipped"; readonly seq: number; readonly ends: number }
  | { readonly kind: "ended"; readonly question: number; readonly answer: EndedCalls }
  | { readonly kind: "away"; readonly error: string }
  | { readonly kind: "back" }
  | { readonly kind: "quarantined"; readonly total: number; readonly error: string }
  | { readonly kind: "counted"; readonly quarantined: number }
  /** Calls of a dead process's journal are in the ledger now; `writtenAtMs` is when it was last written. */
  | { readonly kind: "adopted calls"; readonly calls: readonly ChargedCall[]; readonly writtenAtMs: number }
  | { readonly kind: "adopted"; readonly journalId: string; readonly ended: number; readonly interrupted: number }
  | { readonly kind: "damaged"; readonly journalId: string; readonly bytes: number }
  /** The first look for journals of dead processes is over. */
  | { readonly kind: "ready" }
