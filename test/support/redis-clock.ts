/** Scripts whose clock a test can move: they read a key where production asks the server's TIME. */
import { type LimitScripts, limitScripts } from "../../src/admission/redis-scripts.ts"
import type { RedisClient } from "../../src/platform/redis.ts"

const CLOCK_KEY = "test:clock"
/** Each script is a microsecond later than the one before, as it would be by TIME. */
const CLOCK_LUA = `
local now_ms = tonumber(redis.call('GET', '${CLOCK_KEY}'))
local now_us = now_ms * 1000 + redis.call('INCR', '${CLOCK_KEY}:us')
`

export function movedScripts(): LimitScripts {
  return limitScripts(CLOCK_LUA)
}

export async function redisClock(client: RedisClient, startMs: number) {
  let nowMs = startMs
  await client.set(CLOCK_KEY, nowMs)
  return {
    nowMs: () => nowMs,
    async advance(ms: number) {
      nowMs += ms
      await client.set(CLOCK_KEY, nowMs)
    },
    async set(ms: number) {
      nowMs = ms
      await client.set(CLOCK_KEY, nowMs)
    },
  }
}
