/** The scripts of the limit store, put together from their files once, when the store is made. */
import path from "node:path"
import { type RedisScript, readScriptFile, redisScript } from "../platform/redis-script.ts"

const FOLDER = path.join(import.meta.dirname, "scripts")

export type LimitScripts = {
  readonly batch: RedisScript
  readonly due: RedisScript
  readonly renew: RedisScript
  readonly begin: RedisScript
  readonly load: RedisScript
  readonly mark: RedisScript
  readonly retract: RedisScript
}

/** `clock` replaces the chunk that tells the time, for tests that move it; production goes by the server's TIME. */
export function limitScripts(clock: string = readScriptFile(FOLDER, "clock")): LimitScripts {
  const server = readScriptFile(FOLDER, "server")
  const script = (...names: string[]) =>
    redisScript(names.at(-1) ?? "", [clock, server, ...names.map((name) => readScriptFile(FOLDER, name))])
  return {
    batch: script("counters", "batch"),
    due: script("due"),
    renew: script("renew"),
    begin: script("begin"),
    load: script("load"),
    mark: script("mark"),
    retract: script("retract"),
  }
}
