/** Opens what keeps persons' data no longer and no further than wanted: erasures, and the retention of records. */
import type { Registry } from "prom-client"
import type { PrivacyOptions } from "../admin/privacy-shape.ts"
import type { Config } from "../config/schema.ts"
import type { Directory } from "../identity/directory.ts"
import type { Journal } from "../ledger/journal.ts"
import { UsageRetention } from "../ledger/usage-retention.ts"
import { systemClock as clock } from "../platform/clock.ts"
import type { Closing } from "../platform/closing.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { Erasure, type RenameCounters } from "../privacy/erasure.ts"
import { KnownErasures } from "../privacy/known-erasures.ts"
import { takeUpErasures } from "../privacy/take-up.ts"
import { journalFolder } from "./journal-folder.ts"

/** Who was erased, before the first call. @throws Error where the copy in the data directory is damaged */
export async function openErasures(
  config: Config,
  { sql, journal, log }: { readonly sql: Sql; readonly journal: Journal; readonly log: Log },
): Promise<KnownErasures> {
  await takeUpErasures(sql, config.data_dir, log)
  return new KnownErasures({
    sql,
    dataDir: config.data_dir,
    journalFolder: journalFolder(config),
    onErased: () => journal.beginSegment(),
    log,
  })
}

export type PrivacyParts = {
  readonly sql: Sql
  readonly directory: Directory
  readonly renameCounters: RenameCounters
  readonly registry: Registry
  readonly log: Log
}

export function openPrivacy(config: Config, parts: PrivacyParts, closing: Closing): PrivacyOptions {
  const { sql, directory, renameCounters, registry, log } = parts
  const defaultDays = config.usage_retention_days ?? null
  const retention = new UsageRetention({ sql, clock, log, defaultDays })
  retention.register(registry)
  const erasure = new Erasure({ sql, log, changed: () => directory.changed(), renameCounters })
  for (const [name, work] of [
    ["retention of records", retention],
    ["erasures", erasure],
  ] as const) {
    work.start()
    closing.add(name, () => work.stop())
  }
  return { erasure, defaultRetentionDays: defaultDays }
}
