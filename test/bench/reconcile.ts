/** Holds Tallygate's own figures against what the provider says it served to it: the difference must be 0. */

import type { Target } from "./targets.ts"
import type { Account } from "./upstream.ts"

export type Figures = {
  readonly records: number
  readonly inputUncachedTokens: number
  readonly cacheReadTokens: number
  readonly outputTokens: number
}

export type Reconciliation = {
  readonly target: Target["name"]
  readonly served: Figures
  readonly recorded: Figures
  readonly isEqual: boolean
}

const SETTLE_MS_MAX = 60_000

/** Waits until the ledger shows as many records as were served, at most a minute, then compares every figure. */
export async function reconcile(target: Target, upstreamPort: number, since: Date): Promise<Reconciliation> {
  const served = figuresServed(await readAccount(upstreamPort, target.credential))
  const giveUpMs = performance.now() + SETTLE_MS_MAX
  let recorded = await readRecorded(target, since)
  while (recorded.records < served.records && performance.now() < giveUpMs) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    recorded = await readRecorded(target, since)
  }
  const isEqual = (Object.keys(served) as (keyof Figures)[]).every((figure) => served[figure] === recorded[figure])
  return { target: target.name, served, recorded, isEqual: isEqual && served.records > 0 }
}

async function readAccount(upstreamPort: number, credential: string): Promise<Account> {
  const response = await fetch(`http://127.0.0.1:${upstreamPort}/__served`)
  const { accounts } = (await response.json()) as { accounts: Record<string, Account> }
  const account = accounts[credential]
  if (account === undefined) throw new Error(`the provider served nothing to ${credential}`)
  return account
}

function figuresServed(account: Account): Figures {
  return {
    records: account.answered,
    inputUncachedTokens: account.promptTokens - account.cachedTokens,
    cacheReadTokens: account.cachedTokens,
    outputTokens: account.completionTokens,
  }
}

type SummaryRow = {
  readonly records: number | string
  readonly input_uncached_tokens: number | string
  readonly cache_read_tokens: number | string
  readonly output_tokens: number | string
}

async function readRecorded(target: Target, since: Date): Promise<Figures> {
  if (target.admin === null) throw new Error(`${target.name} keeps no records`)
  const quarterMs = 900_000
  const from = new Date(Math.floor(since.getTime() / quarterMs) * quarterMs).toISOString()
  const until = new Date((Math.floor(Date.now() / quarterMs) + 1) * quarterMs).toISOString()
  const query = new URLSearchParams({ from, until, group_by: "model" })
  const response = await fetch(`${target.admin.origin}/admin/v1/usage/summary?${query}`, {
    headers: { authorization: `Bearer ${target.admin.key}` },
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`the usage summary answered ${response.status}: ${text}`)
  const { data } = JSON.parse(text) as { data: readonly SummaryRow[] }
  const sum = (column: keyof SummaryRow): number => data.reduce((total, row) => total + Number(row[column]), 0)
  return {
    records: sum("records"),
    inputUncachedTokens: sum("input_uncached_tokens"),
    cacheReadTokens: sum("cache_read_tokens"),
    outputTokens: sum("output_tokens"),
  }
}
