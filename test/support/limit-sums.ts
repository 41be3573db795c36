/** What a key's budgets have settled, each store on its own word: they agree where every call was charged exactly once. */

import { openPostgres } from "../../src/platform/postgres.ts"
import type { RedisClient } from "../../src/platform/redis.ts"

export type LimitSums = { readonly tokens: bigint; readonly usdNanos: bigint }

type SumRow = { kind: string; settled: string }

/** By `limit_usage`. */
export async function settledInLedger(databaseUrl: string, subject: string): Promise<LimitSums> {
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  try {
    const rows = await sql<SumRow[]>`
      SELECT l.kind, sum(u.settled)::text AS settled FROM limit_usage u JOIN limits l ON l.id = u.limit_id
      WHERE u.subject = ${subject} GROUP BY l.kind`
    const sumOf = (kind: string) => BigInt(rows.find((row) => row.kind === kind)?.settled ?? 0)
    return { tokens: sumOf("tokens"), usdNanos: sumOf("usd") }
  } finally {
    await sql.end()
  }
}

/** By the counters in Redis; `held` adds up what every hold of the subject holds. Money amounts are those above the tokens'. */
export async function settledInRedis(client: RedisClient, subject: string): Promise<LimitSums & { held: bigint }> {
  const sums: bigint[] = []
  let held = 0n
  for (const key of await client.keys("tg:{*}:w:*")) {
    for (const [field, value] of Object.entries(await client.hgetall(key))) {
      if (!field.includes(`|${subject}:`)) continue
      if (field.endsWith(":s")) sums.push(BigInt(value))
      if (field.endsWith(":h")) held += BigInt(value)
    }
  }
  const [tokens = 0n, usdNanos = 0n] = sums.sort((a, b) => (a < b ? -1 : 1))
  return { tokens, usdNanos, held }
}

export type CallSums = { readonly calls: number; readonly tokens: bigint }

type CallSumsRow = { record_calls: number; record_tokens: string; rollup_calls: number; rollup_tokens: string }

/** A key's calls by its records, and by their rollup. */
export async function callsInLedger(
  databaseUrl: string,
  keyId: string,
): Promise<{ readonly records: CallSums; readonly rollups: CallSums }> {
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  try {
    const [row] = await sql<CallSumsRow[]>`
      SELECT r.calls AS record_calls, r.tokens AS record_tokens, u.calls AS rollup_calls, u.tokens AS rollup_tokens
      FROM (SELECT count(*)::int AS calls, coalesce(sum(input_uncached_tokens + output_tokens), 0)::text AS tokens
            FROM usage_records WHERE key_id = ${keyId}) r,
           (SELECT coalesce(sum(records), 0)::int AS calls,
                   coalesce(sum(input_uncached_tokens + output_tokens), 0)::text AS tokens
            FROM usage_rollups WHERE key_id = ${keyId}) u`
    if (row === undefined) throw new Error("an aggregate returned no row")
    return {
      records: { calls: row.record_calls, tokens: BigInt(row.record_tokens) },
      rollups: { calls: row.rollup_calls, tokens: BigInt(row.rollup_tokens) },
    }
  } finally {
    await sql.end()
  }
}
