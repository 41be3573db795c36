/**
 * Limits that several proxies count together in Redis: the store, the guard in front of it, and what fills it from the
 * ledger. Whatever it is built of stays behind this file; `app.ts` sees an admission.
 */
import { hostname } from "node:os"
import type { Registry } from "prom-client"
import { Admission, type AdmissionOptions } from "../admission/admit.ts"
import { type Adopted, AdoptedCalls } from "../admission/adopted-calls.ts"
import type { Charge, LimitReadings } from "../admission/limit-store.ts"
import { Recovery, type RecoveryChange } from "../admission/recovery.ts"
import { RedisRecoveryActs } from "../admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../admission/redis-store.ts"
import { SettledCounters } from "../admission/settled-counters.ts"
import { StoreGuard } from "../admission/store-guard.ts"
import { registerStoreMetrics } from "../admission/store-metrics.ts"
import type { Config } from "../config/schema.ts"
import { DriftAudit } from "../ledger/drift-audit.ts"
import type { Journal } from "../ledger/journal.ts"
import { counterOwners, readLedgerId } from "../ledger/ledger-identity.ts"
import type { LimitSeeding } from "../ledger/limit-seeding.ts"
import { notByOthers, readLimitSnapshot } from "../ledger/limit-usage.ts"
import { liveProxies, ProxyPresence } from "../ledger/proxy-instances.ts"
import type { Clock } from "../platform/clock.ts"
import type { Closing } from "../platform/closing.ts"
import { randomBase62 } from "../platform/ids.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { connectRedis, type RedisClient } from "../platform/redis.ts"
import { checkRedis } from "../platform/redis-check.ts"
import { StartError } from "./start-error.ts"

/** Longest wait for counters that are only told of. */
const READ_MS_MAX = 1_000

export type SharedLimitsParts = {
  readonly config: Config
  readonly redisUrl: string
  readonly sql: Sql
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  readonly closing: Closing
  readonly seeding: LimitSeeding
}

export type SharedLimits = {
  readonly isAway: () => boolean
  /** Counts calls of dead processes, once they are in the ledger. */
  readonly onAdopted: (adopted: Adopted) => Promise<void>
  /** What the counters say, for people to see. */
  readonly readings: LimitReadings
  /** Has an organization's counters filled anew from the ledger. */
  readonly rebuild: (organizationId: string) => Promise<void>
  /** Begins to admit, and to fill what Redis has lost from the ledger and this process's journal. */
  readonly admit: (journal: Journal) => Promise<Admission>
}

export async function openSharedLimits(parts: SharedLimitsParts): Promise<SharedLimits> {
  const { config, registry, clock, log, closing, seeding } = parts
  const client = await connectFitRedis(parts)
  // Who this process is among the proxies: the owner of its holds.
  const proxy = `${hostname().replace(/[^!-~]/g, "-")}:${process.pid}:${randomBase62(6)}`
  let recovery: Recovery | null = null
  let presence: ProxyPresence | null = null
  const want = (organizationId: string) => recovery?.want(organizationId)
  const store = new RedisLimitStore({
    client,
    onRecovering: want,
    onNewEpoch: (organizationId) => void guard.forget(organizationId),
    onBehind: (organizationId, version) => void catchUp(organizationId, version),
    seededVersion: (limitId) => seeding.versionOf(limitId),
  })
  const acts = new RedisRecoveryActs({ client, proxy })
  const catchUp = catchingUp({ acts, store, want, log })
  await takeUpLedger(parts, acts)
  const adopted = new AdoptedCalls({
    store,
    acts,
    want,
    nowMs: clock.nowMs,
    onFault: (error, organizationId) =>
      log.warn({ err: error, organization_id: organizationId }, "counters of an organization are to be filled anew"),
  })
  closing.add("adopted calls", () => adopted.stop())
  const guard = new StoreGuard({
    store,
    nowMs: clock.nowMs,
    elapsedMs: () => performance.now(),
    log,
    proxiesMax: () => Math.max(config.admission.proxies_max, presence?.count ?? 1),
    onOverflow: (organizationId) => void adopted.rebuild(organizationId),
    deadlineMs: config.admission.store_timeout_ms,
  })
  closing.add("limit store", () => guard.stop())
  registerStoreMetrics(registry, guard)
  const audit = new DriftAudit({ sql: parts.sql, counters: new SettledCounters(client), clock, log })
  audit.register(registry)
  audit.start()
  closing.add("comparison of counters", () => audit.stop())
  const admit = async (journal: Journal) => {
    presence = new ProxyPresence({ ...parts, self: { id: proxy, journalId: journal.id } })
    await presence.start()
    closing.add("presence", () => presence?.stop())
    const readCounters = (charges: readonly Charge[]) => inTime(store.read(charges), READ_MS_MAX)
    const admission = openAdmission(parts, guard, proxy, readCounters)
    recovery = openRecovery(parts, { store, acts, proxy, journal, admission })
    return admission
  }
  return {
    isAway: () => guard.isAway,
    onAdopted: (some) => adopted.count(some),
    readings: store,
    rebuild: (id) => adopted.rebuild(id),
    admit,
  }
}

type CatchingUp = Pick<RecoveryParts, "acts" | "store"> &
  Pick<SharedLimitsParts, "log"> & { readonly want: (organizationId: string) => void }

/** Has counters filled anew that are of an older directory; of one organization once at a time. */
function catchingUp({
  acts,
  store,
  want,
  log,
}: CatchingUp): (organizationId: string, version: number) => Promise<void> {
  const running = new Set<string>()
  return async (organizationId, version) => {
    if (running.has(organizationId)) return
    running.add(organizationId)
    try {
      await acts.behind(organizationId, store.epochOf(organizationId), version)
      want(organizationId)
    } catch (err) {
      const about = { err, organization_id: organizationId }
      log.warn(about, "counters cannot be filled yet with what a new limit starts from")
    } finally {
      running.delete(organizationId)
    }
  }
}

/** @throws StartError where Redis does not answer, or is set up so that limits would not hold. */
async function connectFitRedis({ config, redisUrl, clock, log, closing }: SharedLimitsParts): Promise<RedisClient> {
  let isAway = false
  let client: RedisClient
  try {
    client = await connectRedis(redisUrl, {
      connectionName: "tallygate",
      commandTimeoutMs: config.admission.store_timeout_ms,
      onFault: (error) => {
        // The guard tells of an outage that calls meet; this is for one that none has met yet.
        if (!isAway) log.warn({ err: error }, "connection to Redis lost")
        isAway = true
      },
    })
  } catch (cause) {
    throw new StartError("Redis does not answer. Check REDIS_URL (redis_url), and that it runs.", { cause })
  }
  closing.add("redis", () => client.disconnect())
  client.on("ready", () => {
    isAway = false
  })
  const findings = await checkRedis(client, clock.nowMs)
  for (const { code, text } of findings.filter(({ severity }) => severity === "warning")) log.warn({ code }, text)
  const errors = findings.filter(({ severity }) => severity === "error")
  if (errors.length > 0) throw new StartError(errors.map(({ text }) => text).join(" "))
  return client
}

function openAdmission(
  { config, clock, log, closing }: SharedLimitsParts,
  store: StoreGuard,
  owner: string,
  readCounters: NonNullable<AdmissionOptions["readCounters"]>,
): Admission {
  const admission = new Admission({
    store,
    nowMs: clock.nowMs,
    owner,
    leaseMs: config.admission.lease_ms,
    onFault: (error, act) => log.error({ err: error, act }, "limit store failed"),
    readCounters,
  })
  admission.start()
  closing.add("admission", () => admission.stop())
  return admission
}

/** @throws StartError where Redis stops answering meanwhile; the next start does it */
async function takeUpLedger({ sql, log }: SharedLimitsParts, acts: RedisRecoveryActs): Promise<void> {
  const ledgerId = await readLedgerId(sql)
  const owners = await counterOwners(sql)
  try {
    const organizations = await acts.takeUpLedger(ledgerId, owners)
    if (organizations > 0)
      log.info({ ledger: ledgerId, organizations }, "counters of another ledger, or of a later state, are filled anew")
  } catch (cause) {
    throw new StartError("Redis stopped answering while it was told which ledger it counts for. Start again.", {
      cause,
    })
  }
}

type RecoveryParts = {
  readonly store: RedisLimitStore
  readonly acts: RedisRecoveryActs
  readonly proxy: string
  readonly journal: Journal
  readonly admission: Admission
}

function openRecovery({ config, sql, clock, log, closing, seeding }: SharedLimitsParts, own: RecoveryParts): Recovery {
  const { store, acts, proxy, journal, admission } = own
  const recovery = new Recovery({
    store,
    acts,
    proxy,
    ownJournalId: journal.id,
    leaseMs: config.admission.lease_ms,
    nowMs: clock.nowMs,
    elapsedMs: () => performance.now(),
    readSnapshot: (organizationId) => readLimitSnapshot(sql, organizationId),
    liveProxies: () => liveProxies(sql),
    endedAfter: async (organizationId, seq) => {
      const ended = await journal.endedAfter(organizationId, seq, seeding.current)
      // A report that was repeated may stand in two journals, and the snapshot may have it by the other.
      return ended.kind === "gap" ? ended : { kind: "rows", rows: await notByOthers(sql, journal.id, ended.rows) }
    },
    knowsVersion: (version) => seeding.atLeast(version),
    liveHolds: (organizationId) => admission.liveHolds(organizationId),
    onChange: (change) => tellChange(log, change),
  })
  recovery.start()
  closing.add("recovery", () => recovery.stop())
  return recovery
}

function tellChange(log: Log, change: RecoveryChange): void {
  const told = { organization_id: change.organizationId }
  if (change.kind === "failing")
    log.warn({ ...told, err: change.error }, "counters cannot be filled from the ledger yet")
  else if (change.kind === "recovering") log.info(told, "counters are being filled from the ledger")
  else if (change.kind === "open") log.info(told, "counters are filled; calls are counted again")
  else log.debug(told, "this proxy has said what it knows of an organization's calls")
}
