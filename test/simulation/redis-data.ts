/**
 * The data of a Redis server, and the commands that the limit store uses, as they are documented. Only strings, hashes
 * and sorted sets; what is not needed throws.
 */
export type RedisReply = null | number | string | readonly RedisReply[]
type Value = string | Map<string, string> | SortedSet
class SortedSet extends Map<string, number> {}

const INTEGER_MAX = 2n ** 63n - 1n
const WRITES = new Set(["SET", "INCR", "DEL", "HSET", "HDEL", "HINCRBY", "ZADD", "ZREM", "ZREMRANGEBYSCORE", "EXPIRE"])
WRITES.add("PEXPIREAT")

export class RedisData {
  readonly #values = new Map<string, Value>()
  readonly #endsAtMs = new Map<string, number>()

  static isWrite(command: string): boolean {
    return WRITES.has(command)
  }

  copy(): RedisData {
    const data = new RedisData()
    for (const [key, value] of this.#values) {
      const own = value instanceof SortedSet ? new SortedSet(value) : value instanceof Map ? new Map(value) : value
      data.#values.set(key, own)
    }
    for (const [key, endsAtMs] of this.#endsAtMs) data.#endsAtMs.set(key, endsAtMs)
    return data
  }

  /** Everything, in an order that does not depend on how it came about. */
  dump(nowMs: number): Record<string, unknown> {
    const all: Record<string, unknown> = {}
    for (const key of [...this.#values.keys()].sort()) {
      const value = this.#value(key, nowMs)
      if (value === undefined) continue
      const members = typeof value === "string" ? value : [...value].map(([name, one]) => [name, String(one)]).sort()
      all[key] = { members, endsAtMs: this.#endsAtMs.get(key) ?? null }
    }
    return all
  }

  #value(key: string, nowMs: number): Value | undefined {
    const endsAtMs = this.#endsAtMs.get(key)
    if (endsAtMs !== undefined && endsAtMs <= nowMs) this.#drop(key)
    return this.#values.get(key)
  }

  #drop(key: string): boolean {
    this.#endsAtMs.delete(key)
    return this.#values.delete(key)
  }

  #hash(key: string, nowMs: number): ReadonlyMap<string, string> {
    const value = this.#value(key, nowMs)
    if (typeof value === "string" || value instanceof SortedSet) throw new Error("WRONGTYPE")
    return value ?? new Map()
  }

  #hashToWrite(key: string, nowMs: number): Map<string, string> {
    const known = this.#hash(key, nowMs) as Map<string, string>
    if (known.size === 0) this.#values.set(key, known)
    return known
  }

  #set(key: string, nowMs: number): ReadonlyMap<string, number> {
    const value = this.#value(key, nowMs)
    if (value !== undefined && !(value instanceof SortedSet)) throw new Error("WRONGTYPE")
    return value ?? new SortedSet()
  }

  #setToWrite(key: string, nowMs: number): SortedSet {
    const known = this.#set(key, nowMs) as SortedSet
    if (known.size === 0) this.#values.set(key, known)
    return known
  }

  #dropIfEmpty(key: string, members: ReadonlyMap<string, unknown>): void {
    if (members.size === 0) this.#drop(key)
  }

  /** @throws Error where the command is none of those that are used, or is used in another way */
  run(command: string, words: readonly string[], nowMs: number): RedisReply {
    const [key = "", second = "", third = ""] = words
    switch (command) {
      case "GET": {
        const value = this.#value(key, nowMs)
        return typeof value === "string" ? value : null
      }
      case "SET":
        this.#drop(key)
        this.#values.set(key, second)
        return "OK"
      case "INCR": {
        const next = Number(this.#value(key, nowMs) ?? 0) + 1
        this.#values.set(key, String(next))
        return next
      }
      case "EXISTS":
        return this.#value(key, nowMs) === undefined ? 0 : 1
      case "DEL":
        return words.filter((one) => this.#value(one, nowMs) !== undefined && this.#drop(one)).length
      case "EXPIRE":
        return this.#endAt(key, nowMs + Number(second) * 1_000, "", nowMs)
      case "PEXPIREAT":
        return this.#endAt(key, Number(second), third, nowMs)
    }
    return command.startsWith("H") ? this.#runOnHash(command, words, nowMs) : this.#runOnSet(command, words, nowMs)
  }

  #endAt(key: string, atMs: number, only: string, nowMs: number): number {
    if (this.#value(key, nowMs) === undefined) return 0
    const known = this.#endsAtMs.get(key)
    if (only === "NX" && known !== undefined) return 0
    if (only === "GT" && (known === undefined || atMs <= known)) return 0
    if (atMs <= nowMs) this.#drop(key)
    else this.#endsAtMs.set(key, atMs)
    return 1
  }

  #runOnHash(command: string, [key = "", ...words]: readonly string[], nowMs: number): RedisReply {
    const [field = "", by = ""] = words
    switch (command) {
      case "HGET":
        return this.#hash(key, nowMs).get(field) ?? null
      case "HMGET":
        return words.map((word) => this.#hash(key, nowMs).get(word) ?? null)
      case "HGETALL":
        return [...this.#hash(key, nowMs)].flat()
      case "HEXISTS":
        return this.#hash(key, nowMs).has(field) ? 1 : 0
      case "HSET": {
        const hash = this.#hashToWrite(key, nowMs)
        const before = hash.size
        for (let at = 0; at + 1 < words.length; at += 2) hash.set(words[at] ?? "", words[at + 1] ?? "")
        return hash.size - before
      }
      case "HDEL": {
        const hash = this.#hash(key, nowMs) as Map<string, string>
        const gone = words.filter((word) => hash.delete(word)).length
        this.#dropIfEmpty(key, hash)
        return gone
      }
      case "HINCRBY": {
        const sum = BigInt(this.#hash(key, nowMs).get(field) ?? 0) + BigInt(by)
        if (sum > INTEGER_MAX || sum < -INTEGER_MAX) throw new Error("ERR increment or decrement would overflow")
        this.#hashToWrite(key, nowMs).set(field, String(sum))
        return Number(sum)
      }
    }
    throw new Error(`${command} is not known here`)
  }

  #runOnSet(command: string, [key = "", ...words]: readonly string[], nowMs: number): RedisReply {
    const sorted = () =>
      [...this.#set(key, nowMs)].sort(([a, left], [b, right]) => left - right || (a < b ? -1 : a > b ? 1 : 0))
    const [first = "", second = "", third = ""] = words
    switch (command) {
      case "ZADD": {
        const set = this.#setToWrite(key, nowMs)
        const isGreater = first === "GT"
        const [score, member] = isGreater ? [scoreOf(second), third] : [scoreOf(first), second]
        const known = set.get(member)
        if (known === undefined || !isGreater || score > known) set.set(member, score)
        return known === undefined ? 1 : 0
      }
      case "ZREM": {
        const set = this.#set(key, nowMs) as SortedSet
        const gone = set.delete(first) ? 1 : 0
        this.#dropIfEmpty(key, set)
        return gone
      }
      case "ZSCORE": {
        const score = this.#set(key, nowMs).get(first)
        return score === undefined ? null : String(score)
      }
      case "ZMSCORE":
        return words.map((word) => this.#set(key, nowMs).get(word)?.toString() ?? null)
      case "ZCARD":
        return this.#set(key, nowMs).size
      case "ZRANGE":
        return sorted().map(([member]) => member)
      case "ZRANGEBYSCORE": {
        const [, , limit, from, count] = words
        const found = sorted().filter(([, score]) => score >= scoreOf(first) && score <= scoreOf(second))
        const some = limit === "LIMIT" ? found.slice(Number(from), Number(from) + Number(count)) : found
        return some.map(([member]) => member)
      }
      case "ZREMRANGEBYSCORE": {
        const set = this.#set(key, nowMs) as SortedSet
        const gone = sorted().filter(([, score]) => score >= scoreOf(first) && score <= scoreOf(second))
        for (const [member] of gone) set.delete(member)
        this.#dropIfEmpty(key, set)
        return gone.length
      }
    }
    throw new Error(`${command} is not known here`)
  }
}

function scoreOf(word: string): number {
  if (word === "inf" || word === "+inf") return Number.POSITIVE_INFINITY
  return word === "-inf" ? Number.NEGATIVE_INFINITY : Number(word)
}
