/**
 * What a key has used, by each of the four places that say so, and call by call what the provider says. They agree
 * where every call was counted exactly once. For keys with one tokens and one usd limit, both of the month.
 */
import { expect } from "vitest"
import type { Sql } from "../../src/platform/postgres.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { behaviourOf, readChatRequest, tokensOf } from "./chat-answers.ts"
import type { FakeUpstream } from "./fake-upstream.ts"

export type Used = { readonly tokens: bigint; readonly usdNanos: bigint }
export type Counted = { readonly settled: Used; readonly held: Used }

/** Reads a key's counters in Redis: settled and held of a limit by one command, so that they are of one moment. */
export class CounterReader {
  readonly #redis: RedisClient
  readonly #keyId: string
  readonly #limitIds: { readonly tokens: string; readonly usd: string }
  #windowKey = ""

  private constructor(redis: RedisClient, keyId: string, limitIds: { tokens: string; usd: string }) {
    this.#redis = redis
    this.#keyId = keyId
    this.#limitIds = limitIds
  }

  static async of(sql: Sql, redis: RedisClient, keyId: string): Promise<CounterReader> {
    const rows = await sql<{ id: string; kind: string }[]>`SELECT id, kind FROM limits WHERE subject = ${keyId}`
    const idOf = (kind: string) => rows.find((row) => row.kind === kind)?.id ?? ""
    return new CounterReader(redis, keyId, { tokens: idOf("tokens"), usd: idOf("usd") })
  }

  async read(): Promise<Counted> {
    if (this.#windowKey === "") this.#windowKey = (await this.#redis.keys("tg:{*}:w:????-??"))[0] ?? ""
    const { tokens, usd } = this.#limitIds
    const fields = [tokens, usd].flatMap((id) => [`${id}|${this.#keyId}:s`, `${id}|${this.#keyId}:h`])
    const found = await this.#redis.hmget(this.#windowKey, ...fields)
    const [settledTokens = 0n, heldTokens = 0n, settledNanos = 0n, heldNanos = 0n] = found.map((n) => BigInt(n ?? 0))
    return {
      settled: { tokens: settledTokens, usdNanos: settledNanos },
      held: { tokens: heldTokens, usdNanos: heldNanos },
    }
  }
}

export type LedgerAccounts = {
  readonly records: Used
  readonly rollups: Used
  readonly limitUsage: Used
  readonly recordCount: number
  readonly rolledCount: number
}

type LedgerRow = { source: "records" | "rollups" | "limitUsage"; calls: string; tokens: string; nanos: string }

/** Of one instant: what is in one of the three is in all of them. */
export async function ledgerAccounts(sql: Sql, keyId: string): Promise<LedgerAccounts> {
  const rows = await sql<LedgerRow[]>`
    SELECT 'records' AS source, count(*)::text AS calls,
           coalesce(sum(input_uncached_tokens + cache_read_tokens + output_tokens), 0)::text AS tokens,
           coalesce(sum(ceil(cost_usd * 1000000000)), 0)::text AS nanos
    FROM usage_records WHERE key_id = ${keyId}
    UNION ALL
    SELECT 'rollups', coalesce(sum(records), 0)::text,
           coalesce(sum(input_uncached_tokens + cache_read_tokens + output_tokens), 0)::text,
           coalesce(sum(charged_nanos), 0)::text
    FROM usage_rollups WHERE key_id = ${keyId}
    UNION ALL
    SELECT 'limitUsage', '0', coalesce(sum(u.settled) FILTER (WHERE l.kind = 'tokens'), 0)::text,
           coalesce(sum(u.settled) FILTER (WHERE l.kind = 'usd'), 0)::text
    FROM limit_usage u JOIN limits l ON l.id = u.limit_id WHERE u.subject = ${keyId}`
  const rowOf = (source: LedgerRow["source"]) => rows.find((row) => row.source === source)
  const usedOf = (source: LedgerRow["source"]): Used => ({
    tokens: BigInt(rowOf(source)?.tokens ?? 0),
    usdNanos: BigInt(rowOf(source)?.nanos ?? 0),
  })
  return {
    records: usedOf("records"),
    rollups: usedOf("rollups"),
    limitUsage: usedOf("limitUsage"),
    recordCount: Number(rowOf("records")?.calls),
    rolledCount: Number(rowOf("rollups")?.calls),
  }
}

export type RecordedCall = {
  readonly id: string
  readonly endState: string
  readonly source: string
  readonly prompt: number
  readonly completion: number
}

type RecordRow = { id: string; end_state: string; source: string; prompt: string; completion: string }

/** Every record of a key by its call's own id. @throws where a call has two. */
export async function recordedCalls(sql: Sql, keyId: string): Promise<ReadonlyMap<string, RecordedCall>> {
  const rows = await sql<RecordRow[]>`
    SELECT end_customer AS id, end_state, usage_source AS source,
           (input_uncached_tokens + cache_read_tokens)::text AS prompt, output_tokens::text AS completion
    FROM usage_records WHERE key_id = ${keyId}`
  const calls = new Map<string, RecordedCall>()
  for (const { id, end_state: endState, source, prompt, completion } of rows) {
    expect(calls.has(id), `${id} is recorded twice`).toBe(false)
    calls.set(id, { id, endState, source, prompt: Number(prompt), completion: Number(completion) })
  }
  return calls
}

export type ProviderCall = { readonly id: string; readonly prompt: number; readonly completion: number }

/** Every call that reached the provider, with what its answer, if it was sent whole, reported. */
export function providerCalls(upstream: FakeUpstream): ReadonlyMap<string, ProviderCall> {
  const calls = new Map<string, ProviderCall>()
  for (const { body } of upstream.requests) {
    const chat = readChatRequest(body)
    if (chat === null) throw new Error("the provider received what is no chat request")
    const { user } = JSON.parse(body.toString("utf8")) as { user: string }
    const { prompt, completion } = tokensOf(chat, behaviourOf(chat.model))
    calls.set(user, { id: user, prompt, completion })
  }
  return calls
}
