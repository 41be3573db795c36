/**
 * The composition root: the only file that sees the whole configuration and constructs things. Everything is built by
 * hand, in the order in which it is needed, and registered for closing on the next line; closing runs backwards.
 */
import { mkdir } from "node:fs/promises"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { getRequestListener } from "@hono/node-server"
import type { Registry } from "prom-client"
import { adminApp } from "./admin/admin-app.ts"
import type { Readiness } from "./admin/operation-routes.ts"
import { Admission } from "./admission/admit.ts"
import { MemoryLimitStore } from "./admission/memory-store.ts"
import { ThresholdWatch } from "./alerts/threshold-watch.ts"
import { openPriceBook } from "./app/price-book.ts"
import { openSharedLimits } from "./app/shared-limits.ts"
import { asStartError } from "./app/start-error.ts"
import { routerFrom } from "./config/routing.ts"
import type { Config } from "./config/schema.ts"
import { adminKeys } from "./identity/admin-key.ts"
import { Directory } from "./identity/directory.ts"
import { defaultOrganization, type FirstRun, firstRun, install } from "./identity/first-run.ts"
import { ProviderObjects } from "./identity/provider-objects.ts"
import { type Journal, openJournal } from "./ledger/journal.ts"
import { registerJournalMetrics } from "./ledger/journal-metrics.ts"
import { readLimitUsage } from "./ledger/limit-usage.ts"
import { keepPartitions } from "./ledger/partitions.ts"
import { Estimator } from "./metering/estimator.ts"
import { systemClock as clock } from "./platform/clock.ts"
import { Closing } from "./platform/closing.ts"
import { startEmbeddedPostgres } from "./platform/embedded-postgres.ts"
import { ApiError } from "./platform/error-table.ts"
import { HttpServer } from "./platform/http-server.ts"
import { uuidv7Mint } from "./platform/ids.ts"
import { type Log, openLog } from "./platform/log.ts"
import { openMetrics } from "./platform/metrics.ts"
import { migrate } from "./platform/migrate.ts"
import { openPostgres, type Sql } from "./platform/postgres.ts"
import type { PriceBook } from "./pricing/price-book.ts"
import { startSandbox } from "./providers/sandbox.ts"
import { Upstreams } from "./providers/upstreams.ts"
import type { DataPlane } from "./proxy/data-plane.ts"
import { DrainGate } from "./proxy/drain-gate.ts"
import { NewValues } from "./proxy/new-values.ts"
import { apiOf, Doors } from "./proxy/open-door.ts"
import { ProxyMetrics } from "./proxy/proxy-metrics.ts"
import { writeRefusal } from "./proxy/refuse.ts"
import { serveDataPlane } from "./proxy/routes.ts"

/** Estimates that may wait for the counting thread, and how long one may take; beyond it bytes are counted. */
const ESTIMATES_MAX = 1_000
const ESTIMATE_MS = 10_000
/** How long a stop waits for the ledger to take what is left. */
const FLUSH_MS_MAX = 5_000
/** Owners of provider objects kept in memory. */
const OBJECTS_MAX = 10_000
const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

export type App = {
  readonly url: string
  readonly version: string
  readonly log: Log
  readonly registry: Registry
  readonly firstRun: FirstRun
  /** Resolves with the reason where the app cannot go on; it is still to be closed. */
  readonly failed: Promise<string>
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
    throw asStartError(error, options.config)
  }
}

async function build({ config, version, metricsPage }: AppOptions, log: Log, closing: Closing): Promise<App> {
  await mkdir(config.data_dir, { recursive: true, mode: 0o700 })
  const registry = openMetrics(version)
  const priceBook = await openPriceBook(ROOT, config.prices.files)
  const stores = await openStores(config, version, log, closing)
  const ledger = await openLedger(config, stores, registry, log, closing)
  const watch = new ThresholdWatch({ sql: stores.sql, clock, log })
  watch.start()
  closing.add("alerts", () => watch.stop())
  const plane = await openDataPlane(config, { ...stores, ...ledger, priceBook, registry, log }, closing)
  const admin = adminApp({
    sql: stores.sql,
    clock,
    log,
    directory: plane.directory,
    metricsPage: metricsPage ?? (() => registry.metrics()),
    version,
    mintId: plane.mintId,
    organizationId: await defaultOrganization(stores.sql),
    identifyAdmin: adminKeys(stores.sql, config.admin_key ?? null),
    readiness: () => readiness(server, ledger),
    isLoopback: isLoopbackHost(config.listen.host),
  })
  const server = openServer(config, plane, getRequestListener(admin.fetch))
  const port = await server.listen(config.listen.host, config.listen.port)
  closing.add("server", () => drainServer(server, config.timeouts.shutdown_grace_ms, log))
  // Only now, since keys that are made are shown once: a start that failed before would take them with it.
  const first = await firstRun(stores.sql, { isAdminKeyGiven: config.admin_key !== undefined })
  const url = `http://${urlHost(config.listen.host)}:${port}`
  return { url, version, log, registry, firstRun: first, failed: stores.failed, close: () => closing.closeAll() }
}

type Database = { readonly databaseUrl: string; readonly failed: Promise<string> }
type Stores = Database & { readonly sql: Sql }

/** The database: given or embedded, migrated, and set up where it is new. */
async function openStores(config: Config, version: string, log: Log, closing: Closing): Promise<Stores> {
  const database = config.database_url === undefined ? await embedded(config, log, closing) : given(config.database_url)
  const sql = openPostgres(database.databaseUrl, { max: config.database_connections_max, applicationName: "tallygate" })
  closing.add("postgres", () => sql.end({ timeout: 5 }))
  await migrate(sql, path.join(ROOT, "migrations"), { codeVersion: version })
  const partitions = await keepPartitions({ sql, clock, log })
  closing.add("partitions", () => partitions.stop())
  await install(sql)
  return { ...database, sql }
}

type Ledger = {
  readonly journal: Journal
  readonly admission: Admission
  /** The limit store in a word. */
  readonly limitsState: () => string
}

/** The journal, and the limits, counted in Redis or, from what the ledger knows, in this process. */
async function openLedger(
  config: Config,
  stores: Stores,
  registry: Registry,
  log: Log,
  closing: Closing,
): Promise<Ledger> {
  const directory = path.join(config.data_dir, "journal")
  const { sync, rows_max: rowsMax } = config.journal
  const { databaseUrl, sql } = stores
  const shared =
    config.redis_url === undefined
      ? null
      : await openSharedLimits({ config, redisUrl: config.redis_url, sql, registry, clock, log, closing })
  const onAdopted = shared === null ? {} : { onAdopted: shared.onAdopted }
  const journal = await openJournal({ directory, sync, rowsMax, databaseUrl, log, ...onAdopted })
  closing.add("journal", () => closeJournal(journal, log))
  registerJournalMetrics(registry, journal)
  const admission = shared === null ? await countInProcess(config, sql, log, closing) : await shared.admit(journal)
  const limitsState = () => (shared === null ? "in process" : shared.isAway() ? "away" : "redis")
  return { journal, admission, limitsState }
}

/** Once the journals of earlier processes are in the ledger, it knows all that was charged. */
async function countInProcess(config: Config, sql: Sql, log: Log, closing: Closing): Promise<Admission> {
  const store = new MemoryLimitStore(clock.nowMs)
  store.seed(await readLimitUsage(sql, "all"))
  const admission = new Admission({
    store,
    nowMs: clock.nowMs,
    owner: `pid ${process.pid}`,
    leaseMs: config.admission.lease_ms,
    onFault: (error, act) => log.error({ err: error, act }, "limit store failed"),
  })
  admission.start()
  closing.add("admission", () => admission.stop())
  return admission
}

type PlaneParts = Stores & Ledger & { readonly priceBook: PriceBook; readonly registry: Registry; readonly log: Log }

async function openDataPlane(config: Config, parts: PlaneParts, closing: Closing): Promise<DataPlane> {
  const { log, journal, admission, priceBook, registry } = parts
  const directory = new Directory({
    openPostgres: () => openPostgres(parts.databaseUrl, { max: 2, applicationName: "tallygate-directory" }),
    clock,
    log,
    keysMax: config.key_cache_max,
    unconfirmedMsMax: config.key_cache_max_age_ms,
  })
  await directory.poll()
  directory.start()
  closing.add("directory", () => directory.stop())
  const estimator = new Estimator({ queueMax: ESTIMATES_MAX, timeoutMs: ESTIMATE_MS })
  closing.add("estimator", () => estimator.close())
  const objects = new ProviderObjects({
    openPostgres: () => openPostgres(parts.databaseUrl, { max: 2, applicationName: "tallygate-objects" }),
    log,
    objectsMax: OBJECTS_MAX,
  })
  objects.start()
  closing.add("provider objects", () => closeObjects(objects, log))
  const router = routerFrom(config, config.sandbox ? await sandbox(estimator, closing) : null)
  const upstreams = new Upstreams()
  closing.add("upstreams", () => upstreams.close())
  return {
    clock,
    mintId: uuidv7Mint(),
    log,
    directory,
    router,
    doors: new Doors(router),
    priceBook,
    admission,
    journal,
    upstreams,
    estimator,
    drains: new DrainGate(config.admission.drains_max),
    objects,
    objectPolicy: {
      sharedBy: config.provider_objects.shared_by,
      adoptsUnknown: config.provider_objects.adopt_unknown,
    },
    newValues: new NewValues(config.attribution.new_values_max),
    bookings: new Set(),
    metrics: new ProxyMetrics(registry, config.metrics.series_max),
    bounds: {
      bodyBytesMax: config.body_bytes_max,
      allowsUnmetered: config.unmetered === "allow",
      expectedOutputTokens: config.admission.expected_output_tokens,
    },
  }
}

/** False where calls outlasted the grace. They are recorded as far as they came. */
async function drainServer(server: HttpServer, graceMs: number, log: Log): Promise<boolean> {
  const isClean = await server.drain(graceMs)
  if (!isClean) log.warn({ grace_ms: graceMs }, "calls that ran longer than the grace were cut")
  return isClean
}

/** Objects without an owner are lost to their callers: they are waited for as records are. */
async function closeObjects(objects: ProviderObjects, log: Log): Promise<void> {
  const left = await objects.flush(FLUSH_MS_MAX)
  if (left > 0) log.error({ objects: left }, "objects that could not be entered have no owner now")
  await objects.stop()
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

async function sandbox(estimator: Estimator, closing: Closing): Promise<string> {
  const running = await startSandbox({ estimator, nowMs: clock.nowMs })
  closing.add("sandbox", () => running.close())
  return running.url
}

function readiness(server: HttpServer, { journal, limitsState }: Ledger): Readiness {
  const isFull = journal.isFull()
  const parts = { journal: isFull ? "full" : "writable", limits: limitsState() }
  return { isReady: !server.isDraining && !isFull, parts }
}

function openServer(config: Config, plane: DataPlane, serveOther: ReturnType<typeof getRequestListener>): HttpServer {
  const server = new HttpServer({
    isHot: (path) => plane.doors.has(path),
    serveHot: (request, response, path) => serveDataPlane(plane, request, response, path),
    serveOther,
    refuseDraining: (response, path) => {
      const message = "This proxy is shutting down; another one, or a moment's wait, will answer."
      const error = new ApiError("shutting_down", message, { headers: [["retry-after", "1"]] })
      writeRefusal({ id: plane.mintId(plane.clock.nowMs()), response, api: apiOf(path) }, error)
    },
    onFault: (fault) => plane.log.error({ err: fault }, "serving failed"),
    requestBodyMs: config.timeouts.request_body_ms,
  })
  plane.metrics.watchActive(() => server.inFlight)
  plane.metrics.watchAttribution(
    () => plane.newValues.folded,
    () => plane.objects.waiting,
  )
  return server
}

function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.")
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host
}
