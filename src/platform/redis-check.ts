/**
 * Is this server fit to hold limits? Findings are data: the start decides what stops it. A server that hides its
 * configuration (many managed ones do) is a warning, since nothing is known to be wrong.
 */
import type { RedisClient } from "./redis.ts"

export type RedisFinding = {
  readonly severity: "error" | "warning"
  readonly code: "evicts" | "unreachable" | "clock_skew" | "no_append_file" | "config_hidden"
  /** What was found and what to do. */
  readonly text: string
}

/** Leases and rates go by the server's clock, calendar windows by ours: apart by this much they disagree visibly. */
const SKEW_MS_MAX = 5_000

export async function checkRedis(client: RedisClient, nowMs: () => number): Promise<readonly RedisFinding[]> {
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
  return [...findings, ...(await settingFindings(client))]
}

/** How far the server's clock is ahead of ours, as good as half a round trip. */
export async function clockSkewMs(client: RedisClient, nowMs: () => number): Promise<number> {
  const sentAtMs = nowMs()
  const [seconds, micros] = await client.time()
  const middleMs = (sentAtMs + nowMs()) / 2
  return Number(seconds) * 1_000 + Number(micros) / 1_000 - middleMs
}

/**
 * An eviction policy other than `noeviction` deletes counters as soon as memory is full, and a cap would then be
 * spent twice: an error even where `maxmemory` is 0, since whoever sets a limit later would not think of it.
 */
async function settingFindings(client: RedisClient): Promise<RedisFinding[]> {
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

async function readSettings(client: RedisClient): Promise<Map<string, string>> {
  const settings = new Map<string, string>()
  for (const name of ["maxmemory-policy", "appendonly"]) {
    const reply: unknown = await client.call("CONFIG", "GET", name)
    if (Array.isArray(reply) && typeof reply[1] === "string") settings.set(name, reply[1])
  }
  return settings
}

/** Identifies the server's process: another one may hold older data. */
export async function serverRunId(client: RedisClient): Promise<string> {
  const info = await client.info("server")
  return /run_id:(\w+)/.exec(info)?.[1] ?? ""
}
