/**
 * Opens the data plane from the configuration, and follows the configuration when it changes. What may fail is done
 * first; then everything changes in one turn of the event loop, so that no call sees half of each.
 */
import path from "node:path"
import { fileURLToPath } from "node:url"
import type { Registry } from "prom-client"
import type { Admission } from "../admission/admit.ts"
import { routerFrom } from "../config/routing.ts"
import type { Config } from "../config/schema.ts"
import { Directory } from "../identity/directory.ts"
import { ProviderObjects } from "../identity/provider-objects.ts"
import type { Journal } from "../ledger/journal.ts"
import type { LimitSeeding } from "../ledger/limit-seeding.ts"
import { RefusalCounts } from "../ledger/refusal-counts.ts"
import { Estimator } from "../metering/estimator.ts"
import { systemClock as clock } from "../platform/clock.ts"
import type { Closing } from "../platform/closing.ts"
import { uuidv7Mint } from "../platform/ids.ts"
import type { Log } from "../platform/log.ts"
import { openPostgres, type Sql } from "../platform/postgres.ts"
import type { SecretBox } from "../platform/secret-box.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { KnownErasures } from "../privacy/known-erasures.ts"
import type { Router } from "../providers/router.ts"
import { startSandbox } from "../providers/sandbox.ts"
import { Upstreams } from "../providers/upstreams.ts"
import { DrainGate } from "../proxy/drain-gate.ts"
import { NewValues } from "../proxy/new-values.ts"
import { ProxyMetrics } from "../proxy/proxy-metrics.ts"
import { type Replaceable, Routing } from "../proxy/routing.ts"
import { openPriceBook, preparePrices } from "./price-book.ts"
import { PriceSource } from "./price-source.ts"
import { ProviderSource } from "./provider-source.ts"

/** Estimates that may wait for the counting thread, and how long one may take; beyond it bytes are counted. */
const ESTIMATES_MAX = 1_000
const ESTIMATE_MS = 10_000
/** Owners of provider objects kept in memory. */
const OBJECTS_MAX = 10_000
/** How long a stop waits for Postgres to take the owners that are left. */
const FLUSH_MS_MAX = 5_000

export type PlaneParts = {
  readonly databaseUrl: string
  readonly sql: Sql
  readonly journal: Journal
  readonly admission: Admission
  readonly seeding: LimitSeeding
  readonly erasures: KnownErasures
  readonly priceBook: PriceBook
  readonly registry: Registry
  readonly log: Log
  /** Opens what is stored of providers. */
  readonly box: SecretBox
}

export type OpenPlane = {
  readonly routing: Routing
  /** What is stored of providers, as this process knows it. */
  readonly source: ProviderSource
  /** Goes on with another configuration from the next call on. @throws StartError where it cannot; nothing has changed then */
  reconfigure(config: Config): Promise<void>
}

export async function openDataPlane(config: Config, parts: PlaneParts, closing: Closing): Promise<OpenPlane> {
  const { log, journal, admission, registry } = parts
  const source = openSource(parts, closing)
  const prices = openPrices(parts, closing)
  const directory = await openDirectory(config, { source, prices }, parts, closing)
  const estimator = new Estimator({ queueMax: ESTIMATES_MAX, timeoutMs: ESTIMATE_MS })
  closing.add("estimator", () => estimator.close())
  const objects = openObjects(parts, closing)
  const refusals = new RefusalCounts(parts)
  refusals.start()
  closing.add("counts of refused calls", () => refusals.stop())
  const sandboxUrl = sandboxOnce(estimator, closing)
  const basisOf = async (wanted: Config) => ({ config: wanted, sandboxUrl: wanted.sandbox ? await sandboxUrl() : null })
  let basis = await basisOf(config)
  const router = () => routerFrom(basis.config, basis.sandboxUrl, source.stored)
  const upstreams = new Upstreams()
  closing.add("upstreams", () => upstreams.close())
  const routing = new Routing({
    clock,
    mintId: uuidv7Mint(),
    log,
    directory,
    ...replaceable(config, router(), parts.priceBook, prices),
    admission,
    journal,
    upstreams,
    estimator,
    drains: new DrainGate(config.admission.drains_max),
    objects,
    newValues: new NewValues(config.attribution.new_values_max),
    bookings: new Set(),
    usageRefusers: new Set(),
    metrics: new ProxyMetrics(registry, config.metrics.series_max),
    refusals,
    erasures: parts.erasures,
    seeding: parts.seeding,
  })
  source.onChange(() => {
    const next = router()
    // A file that cannot be read leaves its provider unpriced, with the reason, and the others as they are.
    for (const { pricedAs } of next.providers.values()) routing.plane.priceBook.prepare(pricedAs)
    routing.use(next)
  })
  prices.onChange(() => routing.replace({ storedPrices: prices.stored }))
  const reconfigure = async (next: Config) => {
    const [nextBasis, priceBook] = await Promise.all([basisOf(next), readPrices(next)])
    basis = nextBasis
    routing.replace(replaceable(next, router(), priceBook, prices))
    const { drains, newValues, metrics } = routing.plane
    drains.max = next.admission.drains_max
    newValues.valuesMax = next.attribution.new_values_max
    metrics.limitSeries(next.metrics.series_max)
  }
  return { routing, source, reconfigure }
}

/** The prices that a configuration asks for. @throws StartError where a file is missing or says something wrong */
export function readPrices(config: Config): Promise<PriceBook> {
  const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
  return openPriceBook(root, config.prices.files)
}

function replaceable(config: Config, router: Router, priceBook: PriceBook, { stored }: PriceSource): Replaceable {
  preparePrices(priceBook, router.providers.values())
  return {
    router,
    priceBook,
    storedPrices: stored,
    objectPolicy: {
      sharedBy: config.provider_objects.shared_by,
      adoptsUnknown: config.provider_objects.adopt_unknown,
    },
    bounds: {
      bodyBytesMax: config.body_bytes_max,
      allowsUnmetered: config.unmetered === "allow",
      expectedOutputTokens: config.admission.expected_output_tokens,
    },
  }
}

function openSource({ databaseUrl, log, box }: PlaneParts, closing: Closing): ProviderSource {
  const source = new ProviderSource({
    openPostgres: () => openPostgres(databaseUrl, { max: 1, applicationName: "tallygate-providers" }),
    box,
    log,
  })
  closing.add("provider source", () => source.stop())
  return source
}

function openPrices({ databaseUrl, log }: PlaneParts, closing: Closing): PriceSource {
  const source = new PriceSource({
    openPostgres: () => openPostgres(databaseUrl, { max: 1, applicationName: "tallygate-prices" }),
    log,
  })
  closing.add("price source", () => source.stop())
  return source
}

async function openDirectory(
  config: Config,
  { source, prices }: { readonly source: ProviderSource; readonly prices: PriceSource },
  { databaseUrl, log, seeding, erasures }: PlaneParts,
  closing: Closing,
): Promise<Directory> {
  const directory = new Directory({
    openPostgres: () => openPostgres(databaseUrl, { max: 2, applicationName: "tallygate-directory" }),
    clock,
    log,
    keysMax: config.key_cache_max,
    unconfirmedMsMax: config.key_cache_max_age_ms,
    onSeen: async (version) => {
      await Promise.all([
        source.follow(version),
        prices.follow(version),
        seeding.follow(version),
        erasures.follow(version),
      ])
    },
  })
  await directory.poll()
  directory.start()
  closing.add("directory", () => directory.stop())
  return directory
}

function openObjects({ databaseUrl, log }: PlaneParts, closing: Closing): ProviderObjects {
  const objects = new ProviderObjects({
    openPostgres: () => openPostgres(databaseUrl, { max: 2, applicationName: "tallygate-objects" }),
    log,
    objectsMax: OBJECTS_MAX,
  })
  objects.start()
  closing.add("provider objects", () => closeObjects(objects, log))
  return objects
}

/** Objects without an owner are lost to their callers: they are waited for as records are. */
async function closeObjects(objects: ProviderObjects, log: Log): Promise<void> {
  const left = await objects.flush(FLUSH_MS_MAX)
  if (left > 0) log.error({ objects: left }, "objects that could not be entered have no owner now")
  await objects.stop()
}

/** The address of the sandbox, which is started when it is first wanted; one that is not wanted any more is out of reach. */
function sandboxOnce(estimator: Estimator, closing: Closing): () => Promise<string> {
  let running: ReturnType<typeof startSandbox> | null = null
  closing.add("sandbox", async () => (await running)?.close())
  return async () => {
    running ??= startSandbox({ estimator, nowMs: clock.nowMs })
    return (await running).url
  }
}
