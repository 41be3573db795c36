/** Scripts whose clock a test can move: they read a key where production asks the server's TIME. */
import { type LimitScripts, limitScripts } from "../../src/admission/redis-scripts.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { COUNTERS } from "../contract/account-limits.ts"

/** One for each owner of counters, under its hash tag, so that the scripts reach it on a Cluster too. */
const CLOCK_KEYS = COUNTERS.map((owner) => `test:{${owner}}:clock`)
/** Each script is a microsecond later than the one before, as it would be by TIME. A key without a tag needs no time. */
const CLOCK_LUA = `
local clock_key = 'test:' .. (string.match(KEYS[1], '{[^}]*}') or '') .. ':clock'
local now_ms = clock_key ~= 'test::clock' and tonumber(redis.call('GET', clock_key)) or 0
local now_us = now_ms > 0 and now_ms * 1000 + redis.call('INCR', clock_key .. ':us') or 0
`

export function movedScripts(): LimitScripts {
  return limitScripts(CLOCK_LUA)
}

export async function redisClock(client: RedisClient, startMs: number) {
  let nowMs = startMs
  const set = async (ms: number) => {
    nowMs = ms
    await Promise.all(CLOCK_KEYS.map((key) => client.set(key, ms)))
  }
  await set(startMs)
  return { nowMs: () => nowMs, advance: (ms: number) => set(nowMs + ms), set }
}
