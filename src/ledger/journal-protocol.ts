/**
 * What the three threads of the journal tell one another. The main thread posts rows and hears of commits; the journal
 * worker owns the file; the ship worker reads it, writes to Postgres and says what may be purged.
 */
import type { MessagePort } from "node:worker_threads"
import type { JournalSync } from "./journal-file.ts"

/** Acts of one batch, flat: kind, id, body (empty for a drop), and so on. */
export type JournalActs = readonly string[]
export const START_ACT = "s"
export const END_ACT = "e"
export const DROP_ACT = "d"
export const ACT_FIELDS = 3
/** In the order of their codes in a packed batch. */
export const ACTS: readonly string[] = [START_ACT, END_ACT, DROP_ACT]

export type JournalWorkerData = {
  readonly directory: string
  readonly journalId: string
  readonly sync: JournalSync
}

export type MainToJournal =
  /** A packed batch of acts. */
  Uint8Array<ArrayBuffer> | { readonly kind: "shipper"; readonly port: MessagePort } | { readonly kind: "close" }

/** `batches` counts posted batches from the first one on: everything up to it is answered by this message. */
export type JournalToMain =
  | { readonly kind: "opened" }
  | { readonly kind: "committed"; readonly batches: number }
  /** Nothing of these batches was written; their ends and drops are kept and tried again, their starts are not. */
  | { readonly kind: "failed"; readonly batches: number; readonly error: string }
  /** Ends that had to wait are written now, and so can starts be. */
  | { readonly kind: "writable" }
  /** Rows that left the file: ends that need no more shipping, their starts, starts that were dropped. */
  | { readonly kind: "removed"; readonly rows: number; readonly ends: number }

export type ShipperToJournal =
  /** Everything up to `seq` was read: wake me when there is an end after it. */
  | { readonly kind: "idle"; readonly seq: number }
  /** Ends up to `seq` are in the ledger or in quarantine. */
  | { readonly kind: "shipped"; readonly seq: number }
export type JournalToShipper = { readonly kind: "wake" }

export type ShipWorkerData = {
  readonly directory: string
  readonly journalId: string
  readonly databaseUrl: string
  readonly journalPort: MessagePort
  readonly rowsPerBatchMax: number
  readonly lingerMs: number
  readonly statementMsMax: number
  readonly adoptEveryMs: number
}

export type MainToShipper = { readonly kind: "stop" }
export type ShipperToMain =
  | { readonly kind: "away"; readonly error: string }
  | { readonly kind: "back" }
  | { readonly kind: "quarantined"; readonly total: number; readonly error: string }
  | { readonly kind: "counted"; readonly quarantined: number }
  | { readonly kind: "adopted"; readonly journalId: string; readonly ended: number; readonly interrupted: number }
  | { readonly kind: "damaged"; readonly journalId: string; readonly error: string }
  /** The first look for journals of dead processes is over. */
  | { readonly kind: "ready" }
