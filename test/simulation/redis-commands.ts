/** The driver's methods that the limit store and its recovery use, over whatever carries a command to a simulated server. */
import type { RedisClient } from "../../src/platform/redis.ts"
import type { RedisReply } from "./redis-data.ts"

export type Carry = (command: string, ...words: readonly string[]) => Promise<RedisReply>

/** Has no other method: whoever calls one finds out at once. */
export function redisCommands(carry: Carry): RedisClient {
  const text = (words: readonly unknown[]) => words.map(String)
  const list = (reply: RedisReply) => reply as readonly string[]
  const commands = {
    evalsha: (...words: unknown[]) => carry("EVALSHA", ...text(words)),
    eval: (...words: unknown[]) => carry("EVAL", ...text(words)),
    get: (key: string) => carry("GET", key),
    set: (key: string, value: unknown) => carry("SET", key, String(value)),
    exists: (key: string) => carry("EXISTS", key),
    hset: (key: string, ...words: unknown[]) => carry("HSET", key, ...text(words)),
    hget: (key: string, field: string) => carry("HGET", key, field),
    hgetall: async (key: string) => {
      const words = list(await carry("HGETALL", key))
      return Object.fromEntries(words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1]]] : [])))
    },
    hscan: async (key: string) => ["0", await carry("HGETALL", key)],
    zrange: (key: string, from: string, to: string) => carry("ZRANGE", key, from, to),
    zmscore: (key: string, ...members: string[]) => carry("ZMSCORE", key, ...members),
  }
  return commands as unknown as RedisClient
}
