/**
 * The outbox as Postgres has it: what is due is claimed by one process for a minute, by moving its next attempt there, so
 * that a process that dies with it gives it back without knowing. An outcome is written by whoever made that attempt.
 */
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { uuidv7Mint } from "../platform/ids.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import type { AlertMessage } from "./alert-message.ts"
import { DELIVERY_MS_MAX, LEASE_MS, retryDelayMs } from "./delivery-delay.ts"
import type { DigestMessage } from "./digest-message.ts"

/** What a channel can be sent. */
export type Message = AlertMessage | DigestMessage

export type DeliveryRow = {
  readonly id: string
  /** '' for the installation. */
  readonly organization_id: string
  /** '': a test, or a digest. */
  readonly rule_id: string
  /** '': a test, or an alert. */
  readonly digest_id: string
  readonly channel_id: string
  /** Whom it is about; '' for nobody. */
  readonly user_id: string
  readonly message: Message
  readonly state: "waiting" | "delivered" | "failed"
  readonly attempts: number
  readonly next_attempt_at: Date
  readonly retry_until: Date
  /** What kept the last attempt from succeeding; never a secret or an address. */
  readonly last_error: string
  /** Addresses of a mail that have it, while others do not. */
  readonly arrived: readonly string[]
  readonly created_at: Date
  readonly delivered_at: Date | null
}

/** What became of an attempt. */
export type SendOutcome =
  | { readonly kind: "delivered" }
  /** Worth another attempt. `arrived`: addresses that have it and are not tried again. */
  | { readonly kind: "failed"; readonly reason: string; readonly arrived?: readonly string[] }
  /** Not worth one before somebody changes something. */
  | { readonly kind: "refused"; readonly reason: string }

const mintId = uuidv7Mint()

function columns(sql: Sql): SqlFragment {
  return sql`
    id, organization_id, rule_id, digest_id, channel_id, user_id, message, state, attempts, next_attempt_at, retry_until,
    last_error, arrived, created_at, delivered_at`
}

export type NewDelivery = {
  readonly organizationId: string
  /** '' of a digest. */
  readonly ruleId: string
  /** '' of an alert. */
  readonly digestId: string
  /** Whom it is about; '' for nobody. */
  readonly userId: string
  readonly channelId: string
  readonly message: Message
}

/** A message of the outbox, due at once; returns its id. */
export async function writeDelivery(transaction: Transaction, wanted: NewDelivery, nowMs: number): Promise<string> {
  const { organizationId, ruleId, digestId, userId, channelId, message } = wanted
  const id = mintId(nowMs)
  await transaction`
    INSERT INTO alert_deliveries (id, organization_id, rule_id, digest_id, channel_id, user_id, message, next_attempt_at,
                                  retry_until, created_at)
    VALUES (${id}, ${organizationId}, ${ruleId}, ${digestId}, ${channelId}, ${userId},
            ${JSON.stringify(message)}::text::jsonb, ${new Date(nowMs)}, ${new Date(nowMs + DELIVERY_MS_MAX)},
            ${new Date(nowMs)})`
  return id
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
      UPDATE alert_deliveries SET state = 'delivered', delivered_at = ${new Date(nowMs)}, last_error = '', arrived = '{}'
      WHERE id = ${id} AND state <> 'delivered'`
    return
  }
  const nextMs = nowMs + retryDelayMs(attempts, random)
  const isOver = outcome.kind === "refused" || nextMs > retry_until.getTime()
  const arrived = outcome.kind === "failed" ? (outcome.arrived ?? []) : []
  await sql`
    UPDATE alert_deliveries SET state = ${isOver ? "failed" : "waiting"}, next_attempt_at = ${new Date(nextMs)},
                                last_error = ${outcome.reason}, arrived = arrived || ${[...arrived]}::text[]
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

/** Those of these ids that there are, oldest first. */
export function readDeliveries(sql: Sql, ids: readonly string[]): Promise<readonly DeliveryRow[]> {
  return sql<
    DeliveryRow[]
  >`SELECT ${columns(sql)} FROM alert_deliveries WHERE id = ANY (${[...ids]}::uuid[]) ORDER BY id`
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
