/** Opens what books usage that is reported, and keeps its holds and claims tidy. */
import type { ReportOptions } from "../admin/report-answers.ts"
import type { Admission } from "../admission/admit.ts"
import type { Journal } from "../ledger/journal.ts"
import { ReportBook } from "../ledger/report-book.ts"
import { Repricer } from "../ledger/reprice.ts"
import { tidyClaims } from "../ledger/usage-claims.ts"
import { UsageHolds } from "../ledger/usage-holds.ts"
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import { systemClock as clock } from "../platform/clock.ts"
import type { Closing } from "../platform/closing.ts"
import type { Log } from "../platform/log.ts"
import { openPostgres, type Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import type { Routing } from "../proxy/routing.ts"

export type ReportParts = {
  readonly sql: Sql
  readonly databaseUrl: string
  readonly journal: Journal
  readonly admission: Admission
  readonly routing: Routing
  /** Whether the limit store began anew with this process, so that what is held has to be taken up. */
  readonly isStoreNew: boolean
  readonly log: Log
}

const CONNECTIONS_MAX = 4
const EXPIRE_EVERY_MS = 5_000
const TIDY_EVERY_MS = 600_000
const TIDY_MS_MAX = 60_000

export async function openReports(parts: ReportParts, closing: Closing): Promise<ReportOptions> {
  const { sql, databaseUrl, journal, admission, routing, isStoreNew, log } = parts
  const postgres = new BoundedPostgres(() =>
    openPostgres(databaseUrl, { max: CONNECTIONS_MAX, applicationName: "tallygate-reports" }),
  )
  closing.add("reports", () => postgres.close())
  const shared = {
    postgres,
    admission,
    prices: () => routing.plane,
    mintId: routing.plane.mintId,
    nowMs: clock.nowMs,
    nameOf: (organizationId: string, endCustomer: string) => routing.plane.erasures.nameOf(organizationId, endCustomer),
    log,
  }
  const holds = new UsageHolds(shared)
  const book = new ReportBook({
    ...shared,
    journal,
    fold: (ownerId, kind, value, nowMs) => routing.plane.newValues.admit(ownerId, kind, value, nowMs),
    onBooked: (record) => routing.plane.metrics.reported(record, routing.plane),
  })
  if (isStoreNew) await holds.takeUp()
  keepTidy(holds, postgres, log, closing)
  const repricer = new Repricer({ ...shared, sql, book })
  return { book, holds, repricer, oldestUnshippedMs: () => oldestOf(journal) }
}

function oldestOf(journal: Journal): number | null {
  return journal.backlogRows() === 0 ? null : clock.nowMs() - journal.stats().oldestAgeS * 1000
}

function keepTidy(holds: UsageHolds, postgres: BoundedPostgres, log: Log, closing: Closing): void {
  const expiry = new RegularWork({
    everyMs: EXPIRE_EVERY_MS,
    beginsAtOnce: true,
    work: () => holds.expireDue(),
    log,
    failing: "holds of reported usage cannot expire yet",
    mended: "holds of reported usage expire again",
  })
  const tidying = new RegularWork({
    everyMs: TIDY_EVERY_MS,
    beginsAtOnce: false,
    work: () => postgres.run(tidyClaims, TIDY_MS_MAX),
    log,
    failing: "keys of reported usage cannot be tidied yet",
    mended: "keys of reported usage are tidied again",
  })
  for (const work of [expiry, tidying]) work.start()
  closing.add("tidying of reports", async () => {
    await Promise.all([expiry.stop(), tidying.stop()])
  })
}
