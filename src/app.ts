/**
 * The composition root: the only file that sees the whole configuration and constructs things. Everything is built by
 * hand, in the order in which it is needed, and registered for closing on the next line; closing runs backwards.
 */
import { mkdir } from "node:fs/promises"
import path from "node:path"
import { fileURLToPath } from "node:url"
import type { Registry } from "prom-client"
import { adminApp } from "./admin/admin-app.ts"
import type { Counters } from "./admin/live-limits.ts"
import type { Readiness } from "./admin/operation-routes.ts"
import { Admission } from "./admission/admit.ts"
import { MemoryLimitStore } from "./admission/memory-store.ts"
import { SeededMemoryStore } from "./admission/seeded-memory-store.ts"
import { configuredProviders } from "./app/configured-providers.ts"
import { openSecretBox } from "./app/encryption-keys.ts"
import { journalFolder } from "./app/journal-folder.ts"
import { type Addresses, Listeners } from "./app/listeners.ts"
import { loginOptions } from "./app/login-options.ts"
import { openAlerts } from "./app/open-alerts.ts"
import { openDataPlane, readPrices } from "./app/open-data-plane.ts"
import { openErasures, openPrivacy } from "./app/open-privacy.ts"
import { openReports } from "./app/open-reports.ts"
import type { ProviderSource } from "./app/provider-source.ts"
import { openSharedLimits } from "./app/shared-limits.ts"
import { asStartError, StartError } from "./app/start-error.ts"
import type { Config } from "./config/schema.ts"
import { adminKeys } from "./identity/admin-key.ts"
import { customerSubject } from "./identity/counted-apart.ts"
import { readDirectoryVersion } from "./identity/directory-version.ts"
import { defaultOrganization, type FirstRun, firstRun, install } from "./identity/first-run.ts"
import { type Journal, openJournal } from "./ledger/journal.ts"
import { registerJournalMetrics } from "./ledger/journal-metrics.ts"
import { LimitRefusalWriter } from "./ledger/limit-refusals.ts"
import { LimitSeeding } from "./ledger/limit-seeding.ts"
import { readSeeded } from "./ledger/limit-seeds.ts"
import { readLimitUsage } from "./ledger/limit-usage.ts"
import { keepPartitions } from "./ledger/partitions.ts"
import { unfinishedRestore, unfinishedText } from "./ledger/restore-marker.ts"
import { UsageDayJob } from "./ledger/usage-day-job.ts"
import { systemClock as clock } from "./platform/clock.ts"
import { Closing } from "./platform/closing.ts"
import { startEmbeddedPostgres } from "./platform/embedded-postgres.ts"
import { type Log, openLog } from "./platform/log.ts"
import { openMetrics, registerStoresUp } from "./platform/metrics.ts"
import { migrate } from "./platform/migrate.ts"
import { openPostgres, type Sql } from "./platform/postgres.ts"
import type { PriceSources } from "./pricing/effective-price.ts"
import type { RenameCounters } from "./privacy/erasure.ts"
import type { Routing } from "./proxy/routing.ts"
import { type FindSheet, sheetFinder } from "./reporting/token-classes.ts"

/** How long a stop waits for the ledger to take what is left. */
const FLUSH_MS_MAX = 5_000
/** How long the ledger may take to have what ended before a limit was made; tried again after that. */
const SEED_MS_MAX = 30_000
const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

export type App = Addresses & {
  readonly version: string
  readonly log: Log
  readonly registry: Registry
  readonly firstRun: FirstRun
  /** Resolves with the reason where the app cannot go on; it is still to be closed. */
  readonly failed: Promise<string>
  /** Goes on with another configuration from the next call on. @throws StartError where it cannot; nothing has changed then */
  reconfigure(config: Config): Promise<void>
  /** What `/readyz` says of the configuration from now on, in a word or two. */
  tellConfig(state: string): void
  /** Another process of this data directory has died: takes over its journal now, and not at the next look. */
  workerDied(): void
  /** Drains and closes; false where calls had to be cut, or something could not be closed cleanly. */
  close(): Promise<boolean>
}

export type AppOptions = {
  readonly config: Config
  readonly version: string
  readonly log?: Log
  /** Makes the page `/metrics` where this process is one of several; of this process alone by default. */
  readonly metricsPage?: () => Promise<string>
}

export async function startApp(options: AppOptions): Promise<App> {
  const log = options.log ?? openLog(options.config.log.level)
  const closing = new Closing(log)
  try {
    return await build(options, log, closing)
  } catch (error) {
    await closing.closeAll()
    throw asStartError(error)
  }
}

async function build({ config, version, metricsPage }: AppOptions, log: Log, closing: Closing): Promise<App> {
  await mkdir(config.data_dir, { recursive: true, mode: 0o700 })
  const registry = openMetrics(version)
  const priceBook = await readPrices(config)
  const stores = await openStores(config, version, log, closing)
  const ledger = await openLedger(config, stores, registry, log, closing)
  const days = new UsageDayJob({ sql: stores.sql, clock, log })
  days.start()
  closing.add("days of usage", () => days.stop())
  const box = await openSecretBox(config)
  const erasures = await openErasures(config, { ...stores, ...ledger, log })
  const { routing, source, reconfigure } = await openDataPlane(
    config,
    { ...stores, ...ledger, erasures, priceBook, registry, log, box },
    closing,
  )
  const { directory } = routing.plane
  const privacy = openPrivacy(config, { ...stores, ...ledger, directory, registry, log }, closing)
  const isStoreNew = config.redis_url === undefined
  const reports = await openReports({ ...stores, ...ledger, routing, isStoreNew, log }, closing)
  let [current, configState] = [config, "current"]
  const organizationId = await defaultOrganization(stores.sql)
  const findSheet = sheetsNow(() => routing.plane)
  const process = { storesUp: ledger.storesUp, backlogRows: () => ledger.journal.backlogRows() }
  const alerts = openAlerts(config, { sql: stores.sql, clock, log, registry, box, findSheet, process }, closing)
  const admin = adminApp({
    sql: stores.sql,
    clock,
    log,
    directory,
    metricsPage: metricsPage ?? (() => registry.metrics()),
    version,
    mintId: routing.plane.mintId,
    organizationId,
    identifyAdmin: adminKeys(stores.sql, config.admin_key ?? null),
    readiness: () => readiness(listeners, ledger, source, configState),
    providers: { configured: () => configuredProviders(current), box, unusable: () => source.stored.unusable },
    findSheet,
    login: loginOptions(config, organizationId),
    alerts,
    privacy,
    counters: ledger.counters,
    reports,
    prices: () => routing.plane,
  })
  const listeners = new Listeners({ config, routing, admin, registry, log, closing })
  watchPlane(routing, listeners)
  await listeners.open()
  // Only now, since keys that are made are shown once: a start that failed before would take them with it.
  const first = await firstRun(stores.sql, { isAdminKeyGiven: config.admin_key !== undefined })
  return {
    ...listeners.addresses,
    version,
    log,
    registry,
    firstRun: first,
    failed: stores.failed,
    reconfigure: async (next) => {
      await reconfigure(next)
      await listeners.reconfigure(next)
      if (next.log.level !== current.log.level) log.level = next.log.level
      current = next
    },
    tellConfig: (state) => {
      configState = state
    },
    workerDied: () => ledger.journal.shipper.adopt(),
    close: () => closing.closeAll(),
  }
}

type Database = { readonly databaseUrl: string; readonly failed: Promise<string> }
type Stores = Database & { readonly sql: Sql }

/** The database: given or embedded, migrated, and set up where it is new. */
async function openStores(config: Config, version: string, log: Log, closing: Closing): Promise<Stores> {
  const database = config.database_url === undefined ? await embedded(config, log, closing) : given(config.database_url)
  const sql = openPostgres(database.databaseUrl, { max: config.database_connections_max, applicationName: "tallygate" })
  closing.add("postgres", () => sql.end({ timeout: 5 }))
  const unfinished = await unfinishedRestore(sql)
  if (unfinished !== null) throw new StartError(unfinishedText(unfinished))
  await migrate(sql, path.join(ROOT, "migrations"), { codeVersion: version })
  const partitions = await keepPartitions({ sql, clock, log })
  closing.add("partitions", () => partitions.stop())
  await install(sql)
  return { ...database, sql }
}

type Ledger = {
  readonly journal: Journal
  readonly seeding: LimitSeeding
  readonly admission: Admission
  readonly counters: Counters
  readonly renameCounters: RenameCounters
  /** The limit store in a word. */
  readonly limitsState: () => string
  /** Stores by name, and whether each serves. */
  readonly storesUp: () => Readonly<Record<string, boolean>>
}

/** The journal, and the limits, counted in Redis or, from what the ledger knows, in this process. */
async function openLedger(
  config: Config,
  stores: Stores,
  registry: Registry,
  log: Log,
  closing: Closing,
): Promise<Ledger> {
  const directory = journalFolder(config)
  const { sync, rows_max: rowsMax } = config.journal
  const { databaseUrl, sql } = stores
  const seeding = new LimitSeeding({ sql, nowMs: clock.nowMs, log })
  const shared =
    config.redis_url === undefined
      ? null
      : await openSharedLimits({ config, redisUrl: config.redis_url, sql, registry, clock, log, closing, seeding })
  const onAdopted = shared === null ? {} : { onAdopted: shared.onAdopted }
  const journal = await openJournal({ directory, sync, rowsMax, databaseUrl, log, ...onAdopted })
  closing.add("journal", () => closeJournal(journal, log))
  registerJournalMetrics(registry, journal, rowsMax)
  const isUp = {
    limits: () => shared === null || !shared.isAway(),
    journal: () => !journal.isFull(),
    ledger: () => journal.shipper.error === null,
  }
  registerStoresUp(registry, isUp)
  const inProcess = shared === null ? await countInProcess(config, sql, { journal, seeding }, log, closing) : null
  const admission = inProcess?.admission ?? (await shared?.admit(journal))
  const readings = inProcess?.store ?? shared?.readings
  if (admission === undefined || readings === undefined) throw new Error("limits are counted nowhere")
  const counters = { readings, isShared: shared !== null }
  const renameCounters: RenameCounters = async (organizationId, value, pseudonym) => {
    if (shared !== null) await shared.rebuild(organizationId)
    else if (value !== null) inProcess?.store.rename(customerSubject(value), pseudonym)
  }
  admission.passed.register(registry)
  const refusals = new LimitRefusalWriter({ sql, tally: admission.refusals, log })
  refusals.start()
  closing.add("refusals of limits", () => refusals.stop())
  const limitsState = () => (shared === null ? "in process" : shared.isAway() ? "away" : "redis")
  const storesUp = () => Object.fromEntries(Object.entries(isUp).map(([store, serves]) => [store, serves()]))
  return { journal, seeding, admission, counters, renameCounters, limitsState, storesUp }
}

/** Once the journals of earlier processes are in the ledger, it knows all that was charged. */
async function countInProcess(
  config: Config,
  sql: Sql,
  { journal, seeding }: Pick<Ledger, "journal" | "seeding">,
  log: Log,
  closing: Closing,
): Promise<{ readonly store: MemoryLimitStore; readonly admission: Admission }> {
  const store = new MemoryLimitStore(clock.nowMs)
  const version = Number(await readDirectoryVersion(sql))
  store.seed(await readLimitUsage(sql, "all"))
  const seeded = new SeededMemoryStore({
    store,
    version,
    versionOf: (limitId) => seeding.versionOf(limitId),
    readSeeded: async (limitIds) => {
      if (!(await journal.flush(SEED_MS_MAX)))
        throw new Error("records of calls that have ended are not in the ledger yet")
      return readSeeded(sql, limitIds)
    },
    onFault: (err) => log.warn({ err }, "what new limits start from cannot be read yet"),
  })
  seeding.onChange((seeds) => void seeded.seed(seeds.map(({ limit }) => limit)))
  const admission = new Admission({
    store: seeded,
    nowMs: clock.nowMs,
    owner: `pid ${process.pid}`,
    leaseMs: config.admission.lease_ms,
    onFault: (error, act) => log.error({ err: error, act }, "limit store failed"),
    readCounters: (charges) => store.read(charges),
  })
  admission.start()
  closing.add("admission", () => admission.stop())
  return { store, admission }
}

/** What has not reached the ledger in time stays in the file, and the next start ships it. */
async function closeJournal(journal: Journal, log: Log): Promise<void> {
  if (!(await journal.flush(FLUSH_MS_MAX)))
    log.warn({ rows: journal.backlogRows() }, "records are kept for the next start")
  await journal.close()
}

async function embedded(config: Config, log: Log, closing: Closing): Promise<Database> {
  const dataDir = path.join(config.data_dir, "postgres")
  const postgres = await startEmbeddedPostgres({ dataDir, log, sync: config.journal.sync })
  closing.add("embedded postgres", () => postgres.stop())
  const failed = postgres.exited.then(({ code, signal }) => `the embedded Postgres ended (${signal ?? code})`)
  return { databaseUrl: postgres.url, failed }
}

/** A server of its own may go and come back: calls go on, and the journal keeps what it misses. */
function given(databaseUrl: string): Database {
  return { databaseUrl, failed: new Promise(() => undefined) }
}

function readiness(
  listeners: Listeners,
  { journal, limitsState }: Ledger,
  source: ProviderSource,
  config: string,
): Readiness {
  const isFull = journal.isFull()
  const parts = {
    journal: isFull ? "full" : "writable",
    limits: limitsState(),
    config,
    tls: listeners.tlsState,
    provider_accounts: source.inAWord,
  }
  return { isReady: !listeners.isDraining && !isFull, parts }
}

function watchPlane({ plane }: Routing, listeners: Listeners): void {
  plane.metrics.watch(() => ({
    activeRequests: listeners.inFlight,
    attributionFolded: plane.newValues.folded,
    objectsWaiting: plane.objects.waiting,
    objectsDropped: plane.objects.dropped,
  }))
}

/** Price rows by the prices of the moment, which a reload or an admin may replace. */
function sheetsNow(now: () => PriceSources): FindSheet {
  let { priceBook, storedPrices } = now()
  let find = sheetFinder(priceBook, storedPrices)
  return (pin) => {
    const next = now()
    if (next.priceBook !== priceBook || next.storedPrices !== storedPrices) {
      ;({ priceBook, storedPrices } = next)
      find = sheetFinder(priceBook, storedPrices)
    }
    return find(pin)
  }
}
