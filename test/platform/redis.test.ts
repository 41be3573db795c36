import { Cluster, type Redis } from "ioredis"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { connectRedis, openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { checkRedis } from "../../src/platform/redis-check.ts"
import { RedisScripts, redisScript } from "../../src/platform/redis-script.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { startRedisCluster } from "../support/redis-cluster.ts"

let server: RealRedis
let client: RedisClient
beforeAll(async () => {
  server = await startRealRedis()
  client = openRedis(server.url, { connectionName: "test" })
  await client.connect()
})
afterAll(async () => {
  client.disconnect()
  await server.stop()
})

/** A connection of a user that may do all but the commands given. */
async function userWithout(...forbidden: string[]): Promise<RedisClient> {
  const rules = forbidden.map((command) => `-${command}`)
  await client.call("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", "&*", "+@all", ...rules)
  const limited = openRedis(server.url.replace("//", "//limited:secret@"), { connectionName: "limited" })
  await limited.connect()
  return limited
}

async function connected(url: string): Promise<Redis> {
  const one = openRedis(url, { connectionName: "test" })
  await one.connect()
  return one
}

describe("a script", () => {
  const script = redisScript("echo", ["local prefix = 'said '", "return prefix .. KEYS[1] .. ARGV[1]"])
  beforeEach(async () => {
    await client.script("FLUSH")
    await client.config("RESETSTAT")
  })
  const counts = async () => {
    const stats = await client.info("commandstats")
    const of = (name: string) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
    return { eval: of("eval"), evalsha: of("evalsha") }
  }

  it("is sent by its text to a server that does not know it, and by its digest from then on", async () => {
    const scripts = new RedisScripts(client)
    for (let run = 0; run < 3; run += 1) expect(await scripts.run(script, 1, ["k", "v"])).toBe("said kv")
    expect(await counts()).toEqual({ eval: 1, evalsha: 3 })
    await client.script("FLUSH")
    expect(await scripts.run(script, 1, ["k", "v"])).toBe("said kv")
  })

  it("needs no SCRIPT LOAD, which an account may not use", async () => {
    const limited = await userWithout("script")
    const scripts = new RedisScripts(limited)
    for (let run = 0; run < 3; run += 1) expect(await scripts.run(script, 1, ["k", "v"])).toBe("said kv")
    limited.disconnect()
  })

  it("is sent by its text each time where EVALSHA is forbidden, asked for once", async () => {
    const limited = await userWithout("evalsha", "script")
    const scripts = new RedisScripts(limited)
    for (let run = 0; run < 3; run += 1) expect(await scripts.run(script, 1, ["k", "v"])).toBe("said kv")
    limited.disconnect()
    expect((await counts()).eval).toBe(3)
  })

  it("fails with what went wrong in it, and is not sent twice", async () => {
    const wrong = redisScript("wrong", ["redis.call('INCR', KEYS[1])", "error('no such limit')"])
    const scripts = new RedisScripts(client)
    await expect(scripts.run(wrong, 1, ["runs"])).rejects.toThrow(/no such limit/)
    await expect(scripts.run(wrong, 1, ["runs"])).rejects.toThrow(/no such limit/)
    expect(await client.get("runs")).toBe("2")
  })
})

describe("the check of a server", () => {
  const codes = async (of: RedisClient, nowMs: () => number = Date.now) =>
    (await checkRedis(of, nowMs)).map(({ severity, code }) => `${severity} ${code}`)

  it("finds nothing wrong with one that keeps all it is told", async () => {
    expect(await codes(client)).toEqual([])
  })

  it("finds an eviction policy that drops counters, and a missing append-only file", async () => {
    await client.config("SET", "maxmemory-policy", "allkeys-lru")
    await client.config("SET", "appendonly", "no")
    expect(await codes(client)).toEqual(["error evicts", "warning no_append_file"])
    await client.config("SET", "maxmemory-policy", "noeviction")
    await client.config("SET", "appendonly", "yes")
  })

  it("finds a clock that is more than five seconds from ours, in both directions", async () => {
    expect(await codes(client, () => Date.now() + 6_000)).toEqual(["error clock_skew"])
    expect(await codes(client, () => Date.now() - 6_000)).toEqual(["error clock_skew"])
    expect(await codes(client, () => Date.now() + 3_000)).toEqual([])
  })

  it("goes on where the configuration is hidden, and says what to see to", async () => {
    const limited = await userWithout("config")
    const findings = await checkRedis(limited, Date.now)
    expect(findings).toMatchObject([{ severity: "warning", code: "config_hidden" }])
    expect(findings[0]?.text).toMatch(/noeviction/)
    limited.disconnect()
  })

  it("warns where a restart could not be noticed, since the replication id is hidden", async () => {
    const limited = await userWithout("info")
    expect(await codes(limited)).toEqual(["warning history_hidden"])
    limited.disconnect()
  })

  it("looks at every master of a Cluster, and says once what is so on several", async () => {
    const nodes = await startRedisCluster()
    const cluster = await connectRedis(nodes.url, { connectionName: "test", commandTimeoutMs: 5_000 })
    expect(await codes(cluster)).toEqual([])
    const masters = await Promise.all(nodes.masters.map(({ url }) => connected(url)))
    await masters[2]?.config("SET", "maxmemory-policy", "allkeys-lru")
    expect(await codes(cluster)).toEqual(["error evicts"])
    await masters[0]?.config("SET", "maxmemory-policy", "allkeys-lru")
    expect(await codes(cluster)).toEqual(["error evicts"])
    for (const client of [cluster, ...masters]) client.disconnect()
    await nodes.stop()
  })

  it("says that nobody answers", async () => {
    const gone = openRedis("redis://127.0.0.1:1", { connectionName: "gone" })
    await expect(gone.connect()).rejects.toThrow()
    expect(await codes(gone)).toEqual(["error unreachable"])
    gone.disconnect()
  })
})

describe("a URL", () => {
  it("may name any nodes of a Cluster, which is found to be one by asking, with one user for all of its nodes", async () => {
    const nodes = await startRedisCluster({ password: "se,cr@t" })
    const hosts = nodes.masters.map(({ port }) => `127.0.0.1:${port}`)
    const named = `redis://:se%2Ccr%40t@127.0.0.1:1,${hosts[0]}`
    const found = await connectRedis(named, { connectionName: "test", commandTimeoutMs: 5_000 })
    expect(found).toBeInstanceOf(Cluster)
    for (const key of ["a", "b", "c", "d"]) await found.set(key, key)
    found.disconnect()
    await nodes.stop()
  })

  it("of one server that is no Cluster leads to that server, and of several is refused", async () => {
    const one = await connectRedis(server.url, { connectionName: "test" })
    expect(one).not.toBeInstanceOf(Cluster)
    one.disconnect()
    const two = `${server.url},127.0.0.1:1`
    await expect(connectRedis(two, { connectionName: "test" })).rejects.toThrow(/no Redis Cluster/)
  })

  it("whose servers are all away fails with what connecting failed with", async () => {
    const away = connectRedis("redis://127.0.0.1:1,127.0.0.1:2", { connectionName: "test" })
    await expect(away).rejects.toThrow(/closed|ECONNREFUSED/)
  })
})

describe("a connection", () => {
  it("fails a command that is not answered in time, and one for which there is no connection, at once", async () => {
    const other = await startRealRedis()
    const impatient = openRedis(other.url, { connectionName: "impatient", commandTimeoutMs: 100 })
    await impatient.connect()
    process.kill(other.pid, "SIGSTOP")
    await expect(impatient.get("key")).rejects.toThrow(/timed out/i)
    process.kill(other.pid, "SIGCONT")
    const closed = new Promise((resolve) => impatient.once("close", resolve))
    await other.stop()
    await closed
    await expect(impatient.get("key")).rejects.toThrow(/writeable|closed/i)
    impatient.disconnect()
  })

  it("comes back by itself", async () => {
    const first = await startRealRedis()
    const back = openRedis(first.url, { connectionName: "back" })
    await back.connect()
    await first.stop()
    const ready = new Promise((resolve) => back.once("ready", resolve))
    const second = await startRealRedis({ port: first.port })
    await ready
    expect(await back.ping()).toBe("PONG")
    back.disconnect()
    await second.stop()
  })
})
