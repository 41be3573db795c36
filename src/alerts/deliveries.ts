/**
 * The outbox as Postgres has it: what is due is claimed by one process for a minute, by moving its next attempt there, so
 * that a process that dies with it gives it back without knowing. An outcome is written by whoever made that attempt.
 */
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { uuidv7Mint } from "../platform/ids.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import type { AlertMessage } from "./alert-message.ts"
import { DELIVERY_MS_MAX, LEASE_MS, retryDelayMs } from "./delivery-delay.ts"

export type DeliveryRow = {
  readonly id: string
  /** '' for the installation. */
  readonly organization_id: string
  /** '': a test. */
  readonly rule_id: string
  readonly channel_id: string
  readonly message: AlertMessage
  readonly state: "waiting" | "delivered" | "failed"
  readonly attempts: number
  readonly next_attempt_at: Date
  readonly retry_until: Date
  /** What kept the last attempt from succeeding; never a secret or an address. */
  readonly last_error: string
  readonly created_at: Date
  readonly delivered_at: Date | null
}

/** What became of an attempt. */
export type SendOutcome =
  | { readonly kind: "delivered" }
  /** Worth another attempt. */
  | { readonly kind: "failed"; readonly reason: string }
  /** Not worth one before somebody changes something. */
  | { readonly kind: "refused"; readonly reason: string }

const mintId = uuidv7Mint()

function columns(sql: Sql): SqlFragment {
  return sql`
    id, organization_id, rule_id, channel_id, message, state, attempts, next_attempt_at, retry_until, last_error,
    created_at, delivered_at`
}

/** Takes up to `max` deliveries that are due, oldest first, each for this process alone. */
export function claimDue(sql: Sql, nowMs: number, max: number): Promise<DeliveryRow[]> {
  return sql<DeliveryRow[]>`
    UPDATE alert_deliveries SET attempts = attempts + 1, next_attempt_at = ${new Date(nowMs + LEASE_MS)}
    WHERE id = ANY (ARRAY(
      SELECT id FROM alert_deliveries WHERE state = 'waiting' AND next_attempt_at <= ${new Date(nowMs)}
      ORDER BY next_attempt_at, id LIMIT ${max} FOR UPDATE SKIP LOCKED))
    RETURNING ${columns(sql)}`
}

/** A test's delivery, claimed as it is written, and tried this once. */
export async function writeTest(
  sql: Sql,
  { organizationId, channelId, message }: { organizationId: string; channelId: string; message: AlertMessage },
  nowMs: number,
): Promise<DeliveryRow> {
  const [row] = await sql<DeliveryRow[]>`
    INSERT INTO alert_deliveries (id, organization_id, rule_id, channel_id, message, attempts, next_attempt_at,
                                  retry_until, created_at)
    VALUES (${mintId(nowMs)}, ${organizationId}, '', ${channelId}, ${JSON.stringify(message)}::text::jsonb, 1,
            ${new Date(nowMs + LEASE_MS)}, ${new Date(nowMs)}, ${new Date(nowMs)})
    RETURNING ${columns(sql)}`
  if (row === undefined) throw new Error("An inserted delivery returned no row.")
  return row
}

/**
 * Writes down what became of a claimed attempt. That it arrived counts however late it is known; a failure only where
 * nobody has tried again since.
 */
export async function writeOutcome(
  sql: Sql,
  { id, attempts, retry_until }: Pick<DeliveryRow, "id" | "attempts" | "retry_until">,
  outcome: SendOutcome,
  nowMs: number,
  random: number,
): Promise<void> {
  if (outcome.kind === "delivered") {
    await sql`
      UPDATE alert_deliveries SET state = 'delivered', delivered_at = ${new Date(nowMs)}, last_error = ''
      WHERE id = ${id} AND state <> 'delivered'`
    return
  }
  const nextMs = nowMs + retryDelayMs(attempts, random)
  const isOver = outcome.kind === "refused" || nextMs > retry_until.getTime()
  await sql`
    UPDATE alert_deliveries SET state = ${isOver ? "failed" : "waiting"}, next_attempt_at = ${new Date(nextMs)},
                                last_error = ${outcome.reason}
    WHERE id = ${id} AND state = 'waiting' AND attempts = ${attempts}`
}

/** Makes it due again for a day, under the same id. Null where there is no such delivery. */
export async function redeliver(sql: Sql, id: string, nowMs: number): Promise<DeliveryRow | null> {
  const [row] = await sql<DeliveryRow[]>`
    UPDATE alert_deliveries SET state = 'waiting', attempts = 0, next_attempt_at = ${new Date(nowMs)},
                                retry_until = ${new Date(nowMs + DELIVERY_MS_MAX)}, delivered_at = NULL
    WHERE id = ${id} RETURNING ${columns(sql)}`
  return row ?? null
}

export async function readDelivery(sql: Sql, id: string): Promise<DeliveryRow | null> {
  const [row] = await sql<DeliveryRow[]>`SELECT ${columns(sql)} FROM alert_deliveries WHERE id = ${id}`
  return row ?? null
}

/** A page, newest first: ids begin with the time. `after` is the last id of the page before; null for the first. */
export async function listDeliveries(
  sql: Sql,
  question: {
    readonly visibility: Visibility
    /** Null: of whichever channel. */
    readonly channelId: string | null
    readonly state: DeliveryRow["state"] | null
    readonly after: string | null
    readonly max: number
  },
): Promise<readonly DeliveryRow[]> {
  const { visibility, channelId, state, after, max } = question
  return sql<DeliveryRow[]>`
    SELECT ${columns(sql)} FROM alert_deliveries
    WHERE ${visibleRows(sql, visibility, sql`organization_id`, null)}
      ${channelId === null ? sql`` : sql`AND channel_id = ${channelId}`}
      ${state === null ? sql`` : sql`AND state = ${state}`}
      ${after === null ? sql`` : sql`AND id < ${after}::uuid`}
    ORDER BY id DESC LIMIT ${max}`
}
