/**
 * What the main thread and the shipper's thread tell one another. The main thread writes the journal; the shipper reads
 * it, writes to Postgres and says how far it has come.
 */
import type { Adopted } from "../admission/adopted-calls.ts"
import type { EndedCalls } from "../admission/recovery.ts"
import type { LimitSeed } from "./seed-match.ts"

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
  /** Somebody counts what was adopted; a journal is kept until it was. */
  readonly isAdoptionCounted: boolean
}

export type MainToShipper =
  | { readonly kind: "stop" }
  /** There is an end after what you had read when you went to sleep. */
  | { readonly kind: "wake" }
  /** A process has died: look for its journal. */
  | { readonly kind: "adopt" }
  /** All that was told of an adopted journal is counted: it can go. */
  | { readonly kind: "adoption counted"; readonly journalId: string }
  | {
      readonly kind: "list ended"
      readonly question: number
      readonly organizationId: string
      readonly afterSeq: number
      /** New limits that count calls which do not name them. */
      readonly seeds: readonly LimitSeed[]
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
  /** Something of a dead process's journal is in the ledger now. */
  | { readonly kind: "adopted calls"; readonly journalId: string; readonly adopted: Adopted }
  | { readonly kind: "adopted"; readonly journalId: string; readonly ended: number; readonly interrupted: number }
  | { readonly kind: "damaged"; readonly journalId: string; readonly bytes: number }
  /** The first look for journals of dead processes is over. */
  | { readonly kind: "ready" }
