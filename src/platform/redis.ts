/**
 * The door to Redis or Valkey, thin over ioredis. Commands are answered soon or fail: no queue while there is no
 * connection, no retry inside the driver, no auto-pipelining (its garbage survives into long scavenges and made the
 * p99); what a failed command means is the caller's to decide. A Cluster is found by asking: nobody has to name it one.
 */
import { Cluster, Redis } from "ioredis"
import { nodeUrls } from "./redis-url.ts"

export type RedisClient = Redis | Cluster

export type RedisOptions = {
  /** Seen in CLIENT LIST. */
  readonly connectionName: string
  /** A command without an answer for this long fails; whether it was carried out is then unknown. */
  readonly commandTimeoutMs?: number
  readonly connectTimeoutMs?: number
  /** Told of each failed connection, which is tried again; without it the driver would print them. */
  readonly onFault?: (error: unknown) => void
}

const OWN = { lazyConnect: true, enableOfflineQueue: false, enableAutoPipelining: false } as const
const COMMAND_TIMEOUT_MS = 150
const CONNECT_TIMEOUT_MS = 1_000
/** A slot that moves or has no master for a moment is asked for again this often; the driver would go on for seconds. */
const CLUSTER_RETRIES = { maxRedirections: 3, retryDelayOnClusterDown: 20, retryDelayOnFailover: 20 } as const
const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 2_000

/** Opens a connection to one server that comes back by itself. `await client.connect()` waits for the first one. */
export function openRedis(url: string, options: RedisOptions): Redis {
  const client = new Redis(url, { ...OWN, ...shared(options), retryStrategy: reconnectMs })
  client.on("error", (error: unknown) => options.onFault?.(error))
  return client
}

/**
 * Connects to the server that a URL names, or to the Redis Cluster that it belongs to. A URL may name several nodes of a
 * Cluster with commas between (`redis://user:password@a:6379,b:6379,c:6379`): any of them that answers will do.
 * @throws where no server answers, or several are named that are no Cluster
 */
export async function connectRedis(url: string, options: RedisOptions): Promise<RedisClient> {
  const urls = nodeUrls(url)
  const { client, isCluster } = await firstThatAnswers(urls, options)
  if (!isCluster && urls.length === 1) return client
  client.disconnect()
  if (!isCluster) throw new Error("several Redis servers are named, and the one that answers is no Redis Cluster")
  const { username, password, tls } = client.options
  const cluster = new Cluster(urls, {
    ...OWN,
    ...CLUSTER_RETRIES,
    // Nodes that are learned of are entered like those that are named.
    redisOptions: {
      ...shared(options),
      ...(tls ? { tls } : {}),
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
    },
    clusterRetryStrategy: reconnectMs,
  })
  cluster.on("error", (error: unknown) => options.onFault?.(error))
  try {
    await cluster.connect()
  } catch (error) {
    cluster.disconnect()
    throw error
  }
  return cluster
}

async function firstThatAnswers(urls: readonly string[], options: RedisOptions) {
  let failure: unknown
  for (const url of urls) {
    const client = openRedis(url, options)
    try {
      await client.connect()
      return { client, isCluster: /cluster_enabled:1/.test(await client.info("cluster").catch(String)) }
    } catch (error) {
      client.disconnect()
      failure = error
    }
  }
  throw failure
}

function shared(options: RedisOptions) {
  return {
    connectionName: options.connectionName,
    commandTimeout: options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS,
    connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    // A script that was under way when the connection broke may have been carried out: sending it again is not ours.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    noDelay: true,
    // RESP2 is what every server and proxy in front of one speaks; nothing here needs more.
    protocol: 2,
    disableClientInfo: true,
  } as const
}

function reconnectMs(times: number): number {
  return Math.min(RECONNECT_MS_MIN * 2 ** Math.min(times - 1, 10), RECONNECT_MS_MAX)
}
