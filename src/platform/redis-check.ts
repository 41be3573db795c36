/**
 * Is this server fit to hold limits? Findings are data: the start decides what stops it. A server that hides its
 * configuration (many managed ones do) is a warning, since nothing is known to be wrong.
 */
import { Cluster, type Redis } from "ioredis"
import type { RedisClient } from "./redis.ts"

export type RedisFinding = {
  readonly severity: "error" | "warning"
  readonly code: "evicts" | "unreachable" | "clock_skew" | "no_append_file" | "config_hidden" | "history_hidden"
  /** What was found and what to do. */
  readonly text: string
}

/** Leases and rates go by the server's clock, calendar windows by ours: apart by this much they disagree visibly. */
const SKEW_MS_MAX = 5_000

/** Of a Cluster every master is looked at; what is the same on several of them is told once. */
export async function checkRedis(client: RedisClient, nowMs: () => number): Promise<readonly RedisFinding[]> {
  const servers = client instanceof Cluster ? client.nodes("master") : [client]
  const found = (await Promise.all(servers.map((server) => checkServer(server, nowMs)))).flat()
  return found.filter(({ text }, at) => found.findIndex((other) => other.text === text) === at)
}

async function checkServer(client: Redis, nowMs: () => number): Promise<readonly RedisFinding[]> {
  let skewMs: number
  try {
    skewMs = await clockSkewMs(client, nowMs)
  } catch (error) {
    return [{ severity: "error", code: "unreachable", text: `Redis does not answer: ${String(error)}` }]
  }
  const findings: RedisFinding[] = []
  if (Math.abs(skewMs) > SKEW_MS_MAX) {
    const text = `The clock of Redis is ${Math.round(skewMs)} ms from this machine's: set both by NTP.`
    findings.push({ severity: "error", code: "clock_skew", text })
  }
  return [...findings, ...(await settingFindings(client)), ...(await historyFindings(client))]
}

/** How far the server's clock is ahead of ours, as good as half a round trip. */
export async function clockSkewMs(client: Redis, nowMs: () => number): Promise<number> {
  const sentAtMs = nowMs()
  const [seconds, micros] = await client.time()
  const middleMs = (sentAtMs + nowMs()) / 2
  return Number(seconds) * 1_000 + Number(micros) / 1_000 - middleMs
}

/**
 * An eviction policy other than `noeviction` deletes counters as soon as memory is full, and a cap would then be
 * spent twice: an error even where `maxmemory` is 0, since whoever sets a limit later would not think of it.
 */
async function settingFindings(client: Redis): Promise<RedisFinding[]> {
  let settings: Map<string, string>
  try {
    settings = await readSettings(client)
  } catch (error) {
    const text = `Redis hides its configuration (${String(error)}): see to maxmemory-policy noeviction and appendonly yes.`
    return [{ severity: "warning", code: "config_hidden", text }]
  }
  const findings: RedisFinding[] = []
  const policy = settings.get("maxmemory-policy")
  if (policy !== undefined && policy !== "noeviction") {
    const text = `Redis has maxmemory-policy ${policy} and may drop counters: set it to noeviction.`
    findings.push({ severity: "error", code: "evicts", text })
  }
  if (settings.get("appendonly") === "no") {
    const text =
      "Redis keeps no append-only file: after each restart limits are filled from the ledger. Set appendonly yes."
    findings.push({ severity: "warning", code: "no_append_file", text })
  }
  return findings
}

async function readSettings(client: Redis): Promise<Map<string, string>> {
  const settings = new Map<string, string>()
  for (const name of ["maxmemory-policy", "appendonly"]) {
    const reply: unknown = await client.call("CONFIG", "GET", name)
    if (Array.isArray(reply) && typeof reply[1] === "string") settings.set(name, reply[1])
  }
  return settings
}

/** The scripts know by the replication id that a server was restarted, or promoted, and may have lost what was answered. */
async function historyFindings(client: Redis): Promise<RedisFinding[]> {
  const info = await client.info("replication").catch(String)
  if (/master_replid:[0-9a-f]/.test(info)) return []
  const text =
    "Redis hides its replication id, by which a restart or a failover that lost writes is noticed: allow INFO to its user."
  return [{ severity: "warning", code: "history_hidden", text }]
}
