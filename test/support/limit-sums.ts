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
