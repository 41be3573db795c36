/**
 * A real Redis that a test breaks in every way in which servers break, and mends again: always on the same port, with
 * the same append-only file unless it is to come back empty.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { type RealRedis, startRealRedis } from "./real-redis.ts"

/** Loading takes 20 s unless it is told to hurry. */
const KEYS_TO_LOAD = 4_000
const LOAD_US_PER_KEY = 5_000
const COMMAND_MS_MAX = 60_000

export type BreakableRedis = {
  readonly url: string
  /** Runs what needs a connection of the test's own. */
  ask<T>(act: (client: RedisClient) => Promise<T>): Promise<T>
  /** Ends it without warning. */
  kill(): Promise<void>
  start(): Promise<void>
  startEmpty(): Promise<void>
  /** It keeps its connections and answers nothing. */
  pause(): void
  resume(): void
  /** Reads are answered, writes are refused with READONLY. */
  makeReadOnly(): Promise<void>
  makeWritable(): Promise<void>
  /** Reads are answered, writes are refused with OOM. */
  fillMemory(): Promise<void>
  freeMemory(): Promise<void>
  /** Everything is refused with LOADING, on open connections too. */
  load(): Promise<void>
  finishLoading(): Promise<void>
  stop(): Promise<void>
}

export async function startBreakableRedis(): Promise<BreakableRedis> {
  const folders: string[] = []
  const settings = () => ({ dir: folders.at(-1) ?? "", "enable-debug-command": "local" })
  const newFolder = () => void folders.push(mkdtempSync(join(tmpdir(), "tallygate-breakable-redis-")))
  newFolder()
  let server: RealRedis = await startRealRedis({ settings: settings() })
  const { url, port } = server
  const start = async () => {
    await server.stop()
    server = await startRealRedis({ port, settings: settings() })
  }
  const open = async () => {
    const client = openRedis(url, { connectionName: "test", commandTimeoutMs: COMMAND_MS_MAX })
    await client.connect()
    return client
  }
  const ask = async <T>(act: (client: RedisClient) => Promise<T>): Promise<T> => {
    const client = await open()
    try {
      return await act(client)
    } finally {
      client.disconnect()
    }
  }
  const say = (command: string, ...args: string[]) =>
    ask((client) => client.call(command, ...args)).then(() => undefined)
  // A client that connects while Redis loads waits for the end of that.
  let loading: { readonly hurry: () => Promise<unknown>; readonly done: Promise<unknown> } | null = null
  return {
    url,
    ask,
    kill: () => server.kill(),
    start,
    startEmpty: () => {
      newFolder()
      return start()
    },
    pause: () => void process.kill(server.pid, "SIGSTOP"),
    resume: () => void process.kill(server.pid, "SIGCONT"),
    makeReadOnly: () => say("REPLICAOF", "127.0.0.1", "1"),
    makeWritable: () => say("REPLICAOF", "NO", "ONE"),
    fillMemory: () => say("CONFIG", "SET", "maxmemory", "1"),
    freeMemory: () => say("CONFIG", "SET", "maxmemory", "0"),
    load: async () => {
      const slow = ["key-load-delay", String(LOAD_US_PER_KEY), "loading-process-events-interval-bytes", "1024"]
      await say("DEBUG", "POPULATE", String(KEYS_TO_LOAD), "filler", "100")
      await say("CONFIG", "SET", ...slow)
      const [loader, other] = [await open(), await open()]
      loading = {
        hurry: () => other.call("CONFIG", "SET", "key-load-delay", "0").finally(() => other.disconnect()),
        done: loader.call("DEBUG", "RELOAD").finally(() => loader.disconnect()),
      }
    },
    finishLoading: async () => {
      await loading?.hurry()
      await loading?.done
      loading = null
    },
    stop: async () => {
      process.kill(server.pid, "SIGCONT")
      await server.stop()
      for (const folder of folders) rmSync(folder, { recursive: true, force: true })
    },
  }
}
