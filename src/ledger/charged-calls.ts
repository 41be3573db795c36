/**
 * What calls of a journal charge their limits, read back from the records' texts: for counters that have to be rebuilt,
 * and for calls of dead processes whose holds still stand.
 */
import { accountHoldId, type ChargedCall, type DurableCharge, recordCharges } from "../admission/limits.ts"
import type { EndedCalls } from "../admission/recovery.ts"
import { nanosRoundedUp, parseUsd } from "../pricing/money.ts"
import { END_ROW } from "./journal-batch.ts"
import { JournalReader } from "./journal-reader.ts"
import { type LimitSeed, type SeedFacts, seedCharges } from "./seed-match.ts"
import type { UsageRecord } from "./usage-record.ts"

const ROWS_PER_READ = 1_000

/**
 * The calls that these rows tell of, and what each charges on its provider account as a call of that account's; a row
 * that is no record tells of none. `seeds`: new limits that count calls which do not name them.
 */
export function chargedCalls(
  rows: readonly { readonly body: string }[],
  seeds: readonly LimitSeed[] = [],
): ChargedCall[] {
  return rows.flatMap(({ body }) => readCalls(body, seeds))
}

/** The calls of an organization that ended after a row of a journal; `gap` where the rows after it are not all there. */
export function listEnded(
  journal: { readonly directory: string; readonly journalId: string },
  organizationId: string,
  afterSeq: number,
  seeds: readonly LimitSeed[] = [],
): EndedCalls {
  const reader = new JournalReader(journal.directory, journal.journalId, afterSeq)
  try {
    const calls: ChargedCall[] = []
    for (let rows = reader.read(ROWS_PER_READ); rows.length > 0; rows = reader.read(ROWS_PER_READ)) {
      const ended = rows.filter(({ kind }) => kind === END_ROW)
      calls.push(...chargedCalls(ended, seeds).filter((call) => call.organizationId === organizationId))
    }
    const isWhole = reader.firstSeq !== null && reader.firstSeq <= afterSeq + 1
    return isWhole ? { kind: "rows", rows: calls } : { kind: "gap" }
  } finally {
    reader.close()
  }
}

function readCalls(body: string, seeds: readonly LimitSeed[]): ChargedCall[] {
  try {
    const record: Partial<UsageRecord> = JSON.parse(body)
    const { id, organization_id: organizationId } = record
    if (typeof id !== "string" || typeof organizationId !== "string") return []
    const named = Array.isArray(record.charges) ? (record.charges as DurableCharge[]) : []
    const all = seeds.length === 0 ? named : [...named, ...seededCharges(record, seeds, named)]
    const own = { id, organizationId, charges: all.filter((charge) => charge.organization_id === undefined) }
    if (own.charges.length === all.length) return [own]
    const elsewhere = Map.groupBy(all, (charge) => charge.organization_id)
    elsewhere.delete(undefined)
    const onAccounts = [...elsewhere].map(([counters = "", charges]) => {
      return { id: accountHoldId(id), organizationId: counters, charges }
    })
    return [own, ...onAccounts]
  } catch {
    // The ledger has refused this row and set it aside; a person decides what it charges.
    return []
  }
}

/** A record's text leaves out what is empty. */
const NOTHING_SAID: SeedFacts = {
  time: "",
  organization_id: "",
  project_id: "",
  user_id: "",
  key_id: "",
  end_customer: "",
  provider: "",
  provider_account: "",
  tool: "",
  tags: [],
  model_routed: "",
  endpoint: "",
}

function seededCharges(
  record: Partial<UsageRecord>,
  seeds: readonly LimitSeed[],
  named: readonly DurableCharge[],
): readonly DurableCharge[] {
  const charges = seedCharges(seeds, { ...NOTHING_SAID, ...record }, new Set(named.map(({ limit_id }) => limit_id)))
  const { input_uncached_tokens = 0, cache_read_tokens = 0, cache_write_5m_tokens = 0 } = record
  const { cache_write_1h_tokens = 0, output_tokens = 0 } = record
  const tokens =
    input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens
  return recordCharges(charges, { requests: 1n, tokens: BigInt(tokens), costNanos: costNanos(record.cost_usd) })
}

function costNanos(usd: string | null | undefined): bigint {
  const parsed = parseUsd(usd ?? "0")
  return parsed.kind === "invalid" ? 0n : nanosRoundedUp(parsed.picos)
}
