/**
 * Room that is held for a call which goes past the proxy: taken as for a call, until it is reported, or expires. Each hold
 * is a row as well as a hold in the limit store, so that any process ends it, also after the one that made it is gone. The
 * lease outlasts the row's time: a hold ends by being given back, not by being charged in full as a dead process's is.
 */
import type { Admission, HeldCharges } from "../admission/admit.ts"
import type { Charge } from "../admission/limit-store.ts"
import type { CallEstimate } from "../admission/limits.ts"
import { limitsOn } from "../admission/limits-on.ts"
import { awayError, refusalError, retryHeaders } from "../admission/refusal-error.ts"
import { rateLimitHeaders } from "../admission/refusal-text.ts"
import type { Limit } from "../identity/limit.ts"
import type { Reporter } from "../identity/reporter.ts"
import { totalTokens } from "../metering/usage.ts"
import type { BoundedPostgres } from "../platform/bounded-postgres.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { nanosRoundedUp } from "../pricing/money.ts"
import { type Prices, priceServed } from "./priced-record.ts"
import { REPORT_ENDPOINT, type ReportedUsage } from "./reported-usage.ts"

export type Held = { readonly id: string; readonly expiresAtMs: number }

export type UsageHoldsOptions = {
  readonly postgres: BoundedPostgres
  readonly admission: Pick<Admission, "toLend" | "lend" | "lendAgain" | "release">
  readonly prices: () => Prices
  readonly mintId: (nowMs: number) => string
  readonly nowMs: () => number
  /** What end-customers who were erased are called. */
  readonly nameOf: (organizationId: string, endCustomer: string) => string
  readonly log: Pick<Log, "warn">
}

/** How much longer than the row the lease lasts: so long may Postgres be away while holds expire. */
const LEASE_BEYOND_MS = 600_000
const STATEMENT_MS_MAX = 5_000
const ROWS_PER_TURN = 500

type HoldRow = { id: string; key_id: string; charges: unknown; expires_at: Date }

export class UsageHolds {
  readonly #options: UsageHoldsOptions

  constructor(options: UsageHoldsOptions) {
    this.#options = options
  }

  /** Holds what is expected to be used, for so long. @throws ApiError 429 where a limit refuses, as a call; 403, 503 */
  async make(reporter: Reporter, expected: ReportedUsage, expiresInMs: number): Promise<Held> {
    const { admission, mintId, nowMs, nameOf } = this.#options
    const atMs = nowMs()
    const { tool, model } = expected
    const endCustomer = nameOf(reporter.organizationId, expected.endCustomer)
    const said = { tool, model, endCustomer, endpoint: REPORT_ENDPOINT, tags: [...reporter.tags, ...expected.tags] }
    const limits = limitsOn(reporter.limits, said)
    const lent = admission.toLend(
      mintId(atMs),
      reporter.keyId,
      limits,
      this.#estimate(reporter, expected, limits, atMs),
    )
    const expiresAtMs = atMs + expiresInMs
    // The row first: what is held without one would be charged in full when its lease ends.
    await this.#run((sql) => insertHold(sql, reporter, lent, expiresAtMs))
    const reply = await admission.lend(lent, expiresInMs + LEASE_BEYOND_MS)
    if (reply.kind === "lent") return { id: lent.id, expiresAtMs }
    await this.#forget(lent.id)
    if (reply.kind === "refused") {
      const { refusal, charges, counters } = reply
      const headers = [...rateLimitHeaders(charges, counters, atMs), ...retryHeaders(refusal)]
      throw refusalError(refusal, headers, atMs).error
    }
    if (reply.kind === "away") throw awayError(reply.refusal)
    throw new ApiError("quota_store_unavailable", "The store that counts limits does not answer. Try again.", {
      headers: [["retry-after", "2"]],
    })
  }

  /** Gives a hold of this key back; false where there is none (any more). */
  async end(id: string, keyId: string): Promise<boolean> {
    const rows = await this.#run(
      (sql) => sql<HoldRow[]>`
        DELETE FROM usage_holds WHERE id = ${id} AND key_id = ${keyId} RETURNING id, key_id, charges, expires_at`,
    )
    for (const row of rows) await this.#release(row)
    return rows.length > 0
  }

  /** Gives back what has expired, whoever made it; to be called every few seconds. */
  async expireDue(): Promise<void> {
    const rows = await this.#options.postgres.run(
      (sql) => sql<HoldRow[]>`
        DELETE FROM usage_holds WHERE id IN (
          SELECT id FROM usage_holds WHERE expires_at <= ${new Date(this.#options.nowMs())} ORDER BY expires_at LIMIT ${ROWS_PER_TURN})
        RETURNING id, key_id, charges, expires_at`,
      STATEMENT_MS_MAX,
    )
    for (const row of rows) await this.#release(row)
  }

  /** For a process whose limit store has begun anew: takes up what is held, before the first call. */
  async takeUp(): Promise<void> {
    const { postgres, admission, nowMs } = this.#options
    const atMs = nowMs()
    const rows = await postgres.run(
      (sql) =>
        sql<HoldRow[]>`SELECT id, key_id, charges, expires_at FROM usage_holds WHERE expires_at > ${new Date(atMs)}`,
      STATEMENT_MS_MAX,
    )
    for (const row of rows) {
      await admission.lendAgain(holdOf(row), row.expires_at.getTime() - atMs + LEASE_BEYOND_MS)
    }
  }

  #release(row: HoldRow): Promise<void> {
    return this.#options.admission.release({ ...holdOf(row), account: null })
  }

  /** A call of so much, known beforehand. A money limit needs to know what it costs. */
  #estimate(
    { organizationId }: Reporter,
    expected: ReportedUsage,
    limits: readonly Limit[],
    atMs: number,
  ): CallEstimate {
    const { usage, provider, model, tier, costPicos } = expected
    const tokens = BigInt(totalTokens(usage))
    const holding = (costNanosBound: bigint) => ({
      requests: 1n,
      tokensBound: tokens,
      tokensLikely: tokens,
      costNanosBound,
    })
    if (costPicos !== null) return holding(nanosRoundedUp(costPicos))
    const of = { organization_id: organizationId, provider, region: "", model_routed: model }
    const priced = priceServed(this.#options.prices(), of, { model, tier }, usage, atMs)
    if (priced.kind === "priced") return holding(nanosRoundedUp(priced.costPicos))
    if (priced.ceiling !== null) return holding(nanosRoundedUp(priced.ceiling.costPicos))
    if (!limits.some(({ kind }) => kind === "usd")) return holding(0n)
    const message =
      `A money budget applies here, and \`${model.slice(0, 100)}\` has no price (${priced.reason}), so its cost cannot be held. ` +
      "Say what it will cost at most in cost_usd."
    throw new ApiError("model_not_priced", message, { param: "cost_usd" })
  }

  async #run<T>(act: (sql: Sql) => Promise<T>): Promise<T> {
    try {
      return await this.#options.postgres.run(act, STATEMENT_MS_MAX)
    } catch (cause) {
      const message = "Holds cannot be written down at the moment. Nothing is held; try again."
      throw new ApiError("usage_store_unavailable", message, { headers: [["retry-after", "5"]], cause })
    }
  }

  /** The row of what was not held. Left behind it expires, and gives back what nobody has. */
  async #forget(id: string): Promise<void> {
    const { postgres, log } = this.#options
    await postgres
      .run((sql) => sql`DELETE FROM usage_holds WHERE id = ${id}`, STATEMENT_MS_MAX)
      .catch((error: unknown) => log.warn({ err: error, hold_id: id }, "a hold that was refused is left to expire"))
  }
}

async function insertHold(
  sql: Sql,
  reporter: Reporter,
  { id, charges }: HeldCharges,
  expiresAtMs: number,
): Promise<void> {
  const { organizationId, keyId } = reporter
  await sql`
    INSERT INTO usage_holds (id, organization_id, key_id, charges, expires_at)
    VALUES (${id}, ${organizationId}, ${keyId}, ${chargesText(charges)}::text::jsonb, ${new Date(expiresAtMs)})`
}

/** JSON has no bigint: they are decimal strings. */
function chargesText(charges: readonly Charge[]): string {
  return JSON.stringify(charges, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value))
}

function holdOf({ id, key_id: keyId, charges }: HoldRow): HeldCharges {
  const read = charges as readonly (Charge & { amount: string; limit: Limit & { cap: string } })[]
  return {
    id,
    keyId,
    charges: read.map((charge) => {
      // Of no concern to a hold that stands: when a raise of the cap ends.
      const limit = { ...charge.limit, cap: BigInt(charge.limit.cap), raise: null }
      return { ...charge, limit, amount: BigInt(charge.amount) }
    }),
  }
}
