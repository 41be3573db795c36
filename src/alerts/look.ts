/** What a look of any kind is given, and what it finds. */
import type { Sql } from "../platform/postgres.ts"
import type { FindSheet } from "../reporting/token-classes.ts"
import type { AlertFacts } from "./alert-message.ts"
import type { AlertRule } from "./alert-rule-rows.ts"
import type { Finding } from "./alert-state.ts"

/** What this process knows of itself. */
export type ProcessState = {
  /** Stores by name, and whether each serves: limits, journal, ledger. */
  readonly storesUp: () => Readonly<Record<string, boolean>>
  /** Records that the ledger does not have yet. */
  readonly backlogRows: () => number
}

export type LookOptions = {
  readonly sql: Sql
  readonly nowMs: number
  readonly findSheet: FindSheet
  readonly process: ProcessState
  /** Since when each store that is down is down, epoch milliseconds. */
  readonly downSinceMs: ReadonlyMap<string, number>
  /** Only what was charged lately, and not all that may have changed otherwise. */
  readonly isQuick: boolean
}

export type Found = {
  readonly finding: Finding
  /** Only asked where there is something to tell: it may read much. */
  readonly facts: () => Promise<(threshold: number) => AlertFacts>
  /** What the log's line of the alert holds. */
  readonly logged: (threshold: number) => object
  readonly said: string
}

export type Look = (options: LookOptions, rule: AlertRule) => Promise<readonly Found[]>
