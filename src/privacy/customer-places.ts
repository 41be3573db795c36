/**
 * Where an end-customer's name stands in the ledger, and what erasure makes of it, table by table. Sums stay as they are:
 * rows change their name, and where the pseudonym has a row already both are added.
 */
import { erasedColumns } from "../ledger/erased-columns.ts"

/** Parameters of every statement: $1 the organization, $2 the value, $3 the pseudonym (only of `rewrite`). */
export type Place = {
  /** As counts name it. */
  readonly name: string
  readonly table: string
  readonly where: string
  /** One after the other, in one transaction; the last one's rows are what was changed. */
  readonly rewrite: readonly string[]
}

/** The value as counters' names have it. */
const COUNTED = `replace(replace($2::text, '%', '%25'), ' ', '%20')`
const RENAMED = (subject: string) => `split_part(${subject}, ' ', 1) || ' ' || $3::text`
const SUBJECT = `split_part(subject, ' ', 2) = ${COUNTED}`
/** Of the organization's own counters, or of one of its projects. */
const OWN_SUBJECT = `${SUBJECT} AND (split_part(subject, ' ', 1) = $1
  OR EXISTS (SELECT FROM projects p WHERE p.organization_id = $1 AND p.id = split_part(subject, ' ', 1)))`

const OF_CUSTOMER = "organization_id = $1 AND end_customer = $2"
export const RECORDS_PER_BATCH = 1_000

/** A batch; again until it changes nothing. */
const RECORDS: Place = {
  name: "records",
  table: "usage_records",
  where: OF_CUSTOMER,
  rewrite: [
    `UPDATE usage_records r SET ${Object.entries(erasedColumns("r", "$2::text", "$3::text"))
      .map(([column, value]) => `${column} = ${value}`)
      .join(", ")}
    WHERE (organization_id, time, id) IN (
      SELECT organization_id, time, id FROM usage_records
      WHERE ${OF_CUSTOMER} ORDER BY time, id LIMIT ${RECORDS_PER_BATCH} FOR UPDATE)`,
  ],
}

const LIMIT_USAGE: Place = {
  name: "limit_usage",
  table: "limit_usage",
  where: `organization_id = $1 AND ${SUBJECT}`,
  rewrite: [
    `WITH moved AS (DELETE FROM limit_usage WHERE organization_id = $1 AND ${SUBJECT} RETURNING *)
    INSERT INTO limit_usage AS u (organization_id, limit_id, subject, window_id, settled, updated_at, seeded)
    SELECT organization_id, limit_id, ${RENAMED("subject")}, window_id, settled, updated_at, seeded FROM moved
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE
    SET settled = u.settled + excluded.settled, seeded = u.seeded + excluded.seeded, updated_at = now()`,
  ],
}

const LIMIT_REFUSALS: Place = {
  name: "limit_refusals",
  table: "limit_refusals",
  where: OWN_SUBJECT,
  rewrite: [
    `WITH moved AS (DELETE FROM limit_refusals WHERE ${OWN_SUBJECT} RETURNING *)
    INSERT INTO limit_refusals AS u (limit_id, subject, window_id, refused, shadowed)
    SELECT limit_id, ${RENAMED("subject")}, window_id, refused, shadowed FROM moved ORDER BY 1, 2, 3
    ON CONFLICT (limit_id, subject, window_id) DO UPDATE
    SET refused = u.refused + excluded.refused, shadowed = u.shadowed + excluded.shadowed`,
  ],
}

/** What an alert of the same is known by; the pseudonym may have one of its own already, which then stands for both. */
function alertPlace(table: string, key: readonly string[]): Place {
  const where = `organization_id = $1 AND ${SUBJECT}`
  const same = key.map((column) => `other.${column} = own.${column}`).join(" AND ")
  return {
    name: table,
    table,
    where,
    rewrite: [
      `DELETE FROM ${table} own WHERE ${where} AND EXISTS (
         SELECT FROM ${table} other WHERE ${same} AND other.subject = ${RENAMED("own.subject")})`,
      `UPDATE ${table} SET subject = ${RENAMED("subject")} WHERE ${where}`,
    ],
  }
}

const ALERTS = alertPlace("alerts", [
  ...["organization_id", "rule_id", "limit_id", "window_id", "threshold_percent", "is_forecast", "cap"],
])
const ALERT_SUBJECTS = alertPlace("alert_subjects", ["rule_id", "organization_id", "limit_id"])

const REPORTED = "organization_id = $1 AND body IS NOT NULL AND body::jsonb ->> 'end_customer' = $2"
const REPORTS: Place = {
  name: "usage_once",
  table: "usage_once",
  where: REPORTED,
  rewrite: [`UPDATE usage_once SET body = erased_record(body::jsonb, $2::text, $3::text)::text WHERE ${REPORTED}`],
}

const HOLDING = `organization_id = $1 AND EXISTS (SELECT FROM jsonb_array_elements(charges) c
  WHERE split_part(c #>> '{limit,subject}', ' ', 2) = ${COUNTED})`
const HOLDS: Place = {
  name: "usage_holds",
  table: "usage_holds",
  where: HOLDING,
  rewrite: [
    `UPDATE usage_holds SET charges = (
      SELECT jsonb_agg(CASE WHEN split_part(c #>> '{limit,subject}', ' ', 2) = ${COUNTED}
        THEN jsonb_set(c, '{limit,subject}', to_jsonb(${RENAMED("c #>> '{limit,subject}'")})) ELSE c END ORDER BY place)
      FROM jsonb_array_elements(charges) WITH ORDINALITY AS t (c, place))
    WHERE ${HOLDING}`,
  ],
}

const AWAITED = "organization_id = $1 AND booking #>> '{record,end_customer}' = $2"
const OBJECTS: Place = {
  name: "provider_objects",
  table: "provider_objects",
  where: AWAITED,
  rewrite: [
    `UPDATE provider_objects
    SET booking = jsonb_set(booking, '{record}', erased_record(booking -> 'record', $2::text, $3::text)) WHERE ${AWAITED}`,
  ],
}

export const CUSTOMER_PLACES: readonly Place[] = [
  RECORDS,
  LIMIT_USAGE,
  LIMIT_REFUSALS,
  ALERTS,
  ALERT_SUBJECTS,
  REPORTS,
  HOLDS,
  OBJECTS,
]
