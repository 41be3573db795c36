/**
 * Lua scripts by file, sent by their digest. A server that does not know one is sent its text, which also teaches it;
 * a server that forbids EVALSHA is sent the text each time. SCRIPT LOAD, which many accounts may not use, is not needed.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import type { RedisClient } from "./redis.ts"

export type RedisScript = { readonly name: string; readonly text: string; readonly sha1: string }

/** One script out of several files, in order; each keeps what the ones before it declared `local`. */
export function redisScript(name: string, texts: readonly string[]): RedisScript {
  const text = texts.join("\n")
  return { name, text, sha1: createHash("sha1").update(text).digest("hex") }
}

export function readScriptFile(folder: string, name: string): string {
  return readFileSync(`${folder}/${name}.lua`, "utf8")
}

export class RedisScripts {
  readonly #client: RedisClient
  #isDigestForbidden = false

  constructor(client: RedisClient) {
    this.#client = client
  }

  /** Runs a script; `args` are the keys and then the other arguments. */
  async run(script: RedisScript, keyCount: number, args: readonly string[]): Promise<unknown> {
    if (this.#isDigestForbidden) return this.#client.eval(script.text, keyCount, ...args)
    try {
      return await this.#client.evalsha(script.sha1, keyCount, ...args)
    } catch (error) {
      const said = error instanceof Error ? error.message : ""
      if (said.startsWith("NOPERM")) this.#isDigestForbidden = true
      else if (!said.startsWith("NOSCRIPT")) throw error
      return this.#client.eval(script.text, keyCount, ...args)
    }
  }
}
