/** Holds a key's accounts against one another, and its records against the provider and the callers, after whatever happened. */
import { expect } from "vitest"
import type { CallEnd } from "./call-storm.ts"
import { CounterReader, ledgerAccounts, providerCalls, recordedCalls } from "./key-accounts.ts"
import type { ProxyFleet } from "./proxy-fleet.ts"
import { until } from "./test-app.ts"

/** Σ records = Σ rollups = Σ limit usage = Σ settled in Redis, and nothing is held, as soon as all has arrived. */
export async function expectOneAccount(fleet: ProxyFleet, keyId: string, timeoutMs = 15_000): Promise<void> {
  const reader = await CounterReader.of(fleet.sql, fleet.redis, keyId)
  const look = async () => ({ ...(await ledgerAccounts(fleet.sql, keyId)), counters: await reader.read() })
  const isOne = ({ records, counters: { settled, held } }: Awaited<ReturnType<typeof look>>) =>
    held.tokens + held.usdNanos === 0n && settled.tokens === records.tokens && settled.usdNanos === records.usdNanos
  let seen = await look()
  await until(async () => {
    seen = await look()
    return isOne(seen) ? true : undefined
  }, timeoutMs).catch(() => undefined)
  const { records, rollups, limitUsage, counters, recordCount, rolledCount } = seen
  expect({ rollups, limitUsage, counters, rolledCount }).toEqual({
    rollups: records,
    limitUsage: records,
    counters: { settled: records, held: { tokens: 0n, usdNanos: 0n } },
    rolledCount: recordCount,
  })
}

/**
 * Each call that reached the provider has one record: of itself, with what the provider reported, or `interrupted` and
 * marked as an estimate, which only a call through a process that was killed may be. A call that its caller has
 * seen whole is never missing, and no call is recorded that was refused.
 */
export async function expectEachCallOnce(
  fleet: ProxyFleet,
  keyIds: readonly string[],
  ends: readonly CallEnd[],
  ...killedUrls: readonly string[]
): Promise<{ readonly exact: number; readonly interrupted: number }> {
  const records = new Map(
    (await Promise.all(keyIds.map((id) => recordedCalls(fleet.sql, id)))).flatMap((some) => [...some]),
  )
  const provider = providerCalls(fleet.upstream)
  expect([...provider.keys()].filter((id) => !records.has(id))).toEqual([])
  const wrong: unknown[] = []
  const counts = { exact: 0, interrupted: 0 }
  const endsById = new Map(ends.map((end) => [end.id, end]))
  for (const record of records.values()) {
    const end = endsById.get(record.id)
    const served = provider.get(record.id)
    const isExact =
      record.endState === "complete" && record.prompt === served?.prompt && record.completion === served.completion
    const isEstimate =
      record.endState === "interrupted" &&
      record.source === "estimated" &&
      end !== undefined &&
      end.kind !== "refused" &&
      killedUrls.includes(end.url)
    if (isExact) counts.exact += 1
    else if (isEstimate) counts.interrupted += 1
    else wrong.push({ record, served, end })
  }
  expect(wrong).toEqual([])
  expect(ends.filter(({ kind, id }) => kind === "whole" && !records.has(id))).toEqual([])
  return counts
}
