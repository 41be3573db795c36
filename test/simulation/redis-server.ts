/** A Redis server in this process: its data, its clock, and the limit store's scripts, which it runs as a server does. */
import { createHash } from "node:crypto"
import { LuaError, type LuaScript, LuaTable, type LuaValue, translateLua } from "./lua.ts"
import { RedisData, type RedisReply } from "./redis-data.ts"

/** By their texts: servers come and go. */
const scripts = new Map<string, { readonly sha1: string; readonly act: LuaScript }>()

export class RedisServer {
  data = new RedisData()
  /** Writes are refused, as by a replica. */
  isReadOnly = false
  readonly #nowUs: () => number
  readonly #known = new Map<string, string>()
  #starts = 0
  readonly #redis = new LuaTable()

  /** `nowUs`: microseconds since 1970, whole. */
  constructor(nowUs: () => number) {
    this.#nowUs = nowUs
    this.#redis.set("call", (...words) => [luaOf(this.#command(words.map(wordOf)))])
    this.#redis.set("pcall", (...words) => [luaOf(this.#command(words.map(wordOf)))])
  }

  get nowMs(): number {
    return Math.floor(this.#nowUs() / 1_000)
  }

  /** Another history begins: with this data, and without scripts. */
  start(data: RedisData): void {
    this.data = data
    this.isReadOnly = false
    this.#starts += 1
    this.#known.clear()
  }

  flush(): void {
    this.data = new RedisData()
  }

  /** One command of a connection. @throws Error as the driver does where the server answers with an error */
  run(command: string, ...words: readonly string[]): RedisReply {
    if (command === "EVALSHA" || command === "EVAL") return this.#eval(command, words)
    try {
      return this.#command([command, ...words])
    } catch (error) {
      throw error instanceof LuaError ? new Error(error.message) : error
    }
  }

  #eval(command: string, [script = "", count = "0", ...words]: readonly string[]): RedisReply {
    const text = command === "EVAL" ? script : this.#known.get(script)
    if (text === undefined) throw new Error("NOSCRIPT No matching script. Please use EVAL.")
    let known = scripts.get(text)
    if (known === undefined) {
      known = { sha1: createHash("sha1").update(text).digest("hex"), act: translateLua(text) }
      scripts.set(text, known)
    }
    this.#known.set(known.sha1, text)
    try {
      const keys = Number(count)
      return replyOf(known.act(LuaTable.of(words.slice(0, keys)), LuaTable.of(words.slice(keys)), this.#redis)[0])
    } catch (error) {
      throw error instanceof LuaError ? new Error(error.message) : error
    }
  }

  #command([command = "", ...words]: readonly string[]): RedisReply {
    if (command === "TIME") {
      const nowUs = this.#nowUs()
      return [String(Math.floor(nowUs / 1_000_000)), String(nowUs % 1_000_000)]
    }
    if (command === "INFO") return `role:master\r\nmaster_replid:${this.#starts.toString(16).padStart(40, "0")}\r\n`
    if (this.isReadOnly && RedisData.isWrite(command)) {
      throw new LuaError(errorTable("READONLY You can't write against a read only replica."))
    }
    return this.data.run(command, words, this.nowMs)
  }
}

function errorTable(err: string): LuaTable {
  const table = new LuaTable()
  table.set("err", err)
  return table
}

/** As a script hands it to `redis.call`: whole numbers are written out, others would be by "%.17g". */
function wordOf(value: LuaValue): string {
  if (typeof value === "string") return value
  if (typeof value === "number" && Number.isInteger(value)) return String(value)
  throw new LuaError("Lua redis lib command arguments must be strings or integers")
}

function luaOf(reply: RedisReply): LuaValue {
  if (reply === null) return false
  return typeof reply === "object" ? LuaTable.of(reply.map(luaOf)) : reply
}

function replyOf(value: LuaValue): RedisReply {
  if (typeof value === "string") return value
  if (typeof value === "number") return Math.trunc(value)
  if (value instanceof LuaTable) return value.list.map(replyOf)
  return value === true ? 1 : null
}
