/**
 * A real Redis Cluster for tests: three masters that share the slots, and where asked a replica of each. Nodes find
 * their master gone within half a second, so that a failover takes a test about two.
 */
import { setTimeout as wait } from "node:timers/promises"
import { openRedis } from "../../src/platform/redis.ts"
import { type RealRedis, startRealRedis } from "./real-redis.ts"

export type RedisCluster = {
  /** Names one of its nodes. */
  readonly url: string
  readonly masters: readonly RealRedis[]
  /** One for each master, in order; none unless asked for. */
  readonly replicas: readonly RealRedis[]
  stop(): Promise<void>
}

const MASTERS = 3
const SLOTS = 16_384
const UP_MS_MAX = 30_000

export async function startRedisCluster(
  options: { readonly hasReplicas?: boolean; readonly password?: string } = {},
): Promise<RedisCluster> {
  const { password } = options
  const settings = {
    "cluster-enabled": "yes",
    "cluster-announce-ip": "127.0.0.1",
    "cluster-node-timeout": "500",
    ...(password === undefined ? {} : { requirepass: password, masterauth: password }),
  }
  const count = options.hasReplicas === true ? 2 * MASTERS : MASTERS
  const nodes = await Promise.all(Array.from({ length: count }, () => startRealRedis({ settings })))
  const [masters, replicas] = [nodes.slice(0, MASTERS), nodes.slice(MASTERS)]
  const enter = password === undefined ? "" : `:${encodeURIComponent(password)}@`
  const urlOf = ({ port }: RealRedis) => `redis://${enter}127.0.0.1:${port}`
  const ask = async (node: RealRedis, ...words: string[]): Promise<string> => {
    const client = openRedis(urlOf(node), { connectionName: "test", commandTimeoutMs: 5_000 })
    try {
      await client.connect()
      return String(await client.call("CLUSTER", ...words))
    } finally {
      client.disconnect()
    }
  }
  const until = async (node: RealRedis, word: string, isSo: (said: string) => boolean) => {
    const deadlineMs = performance.now() + UP_MS_MAX
    while (!isSo(await ask(node, word))) {
      if (performance.now() > deadlineMs) throw new Error(`the cluster does not come up: ${await ask(node, word)}`)
      await wait(20)
    }
  }
  for (const [at, node] of masters.entries()) {
    const from = Math.ceil((SLOTS * at) / MASTERS)
    await ask(node, "ADDSLOTSRANGE", String(from), String(Math.ceil((SLOTS * (at + 1)) / MASTERS) - 1))
    // Equal epochs would be told apart only once nodes have met.
    await ask(node, "SET-CONFIG-EPOCH", String(at + 1))
  }
  const [first, ...others] = nodes as [RealRedis, ...RealRedis[]]
  for (const other of others) await ask(first, "MEET", "127.0.0.1", String(other.port))
  for (const node of nodes) await until(node, "NODES", (said) => said.trim().split("\n").length === count)
  for (const [at, replica] of replicas.entries()) {
    await ask(replica, "REPLICATE", await ask(masters[at] ?? first, "MYID"))
  }
  for (const node of nodes) {
    await until(node, "INFO", (said) => said.includes("cluster_state:ok") && said.includes(`cluster_size:${MASTERS}`))
  }
  return {
    url: urlOf(first),
    masters,
    replicas,
    stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
  }
}
