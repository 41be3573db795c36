/** Redis: reachable, with the right clock, and set up so that it neither forgets counters nor loses them in a restart. */
import type { Config } from "../../config/load.ts"
import { showUrl } from "../../config/problem.ts"
import { connectRedis, type RedisClient } from "../../platform/redis.ts"
import { checkRedis, type RedisFinding } from "../../platform/redis-check.ts"
import { connectionFault } from "../connection-fault.ts"
import { type Finding, type Means, ok, problem, skipped } from "./finding.ts"

const FIXES: Readonly<Record<RedisFinding["code"], string>> = {
  unreachable: "Start Redis, and check host, port and password in REDIS_URL and what stands between.",
  clock_skew: "Set the clocks of both machines by NTP (chrony, systemd-timesyncd).",
  evicts: "Run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set the same in redis.conf.",
  no_append_file: "Run `redis-cli CONFIG SET appendonly yes`, and set the same in redis.conf.",
  history_hidden: "Allow the command INFO to its user: `ACL SETUSER <user> +info`.",
  config_hidden: "Look in its provider's console: maxmemory-policy noeviction, and persistence by an append-only file.",
}

export async function checkRedisServer(config: Config, { nowMs, answerMsMax }: Means): Promise<Finding[]> {
  if (config.redis_url === undefined) return [skipped("redis", "limits are counted in the process")]
  // What connecting fails with says less than what the first attempt met.
  let met: unknown = null
  let client: RedisClient | undefined
  try {
    client = await connectRedis(config.redis_url, {
      connectionName: "tallygate-doctor",
      commandTimeoutMs: answerMsMax,
      connectTimeoutMs: answerMsMax,
      onFault: (error) => {
        met ??= error
      },
    })
    const found = await checkRedis(client, nowMs)
    if (found.length === 0) return [ok("redis", showUrl(config.redis_url))]
    return found.map(({ severity, code, text }) => ({
      check: "redis",
      state: severity === "error" ? "problem" : "warning",
      text,
      fix: FIXES[code],
    }))
  } catch (error) {
    return [problem("redis", `Redis cannot be reached: ${connectionFault(met ?? error)}.`, FIXES.unreachable)]
  } finally {
    client?.disconnect()
  }
}
