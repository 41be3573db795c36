/**
 * The door to Redis or Valkey, thin over ioredis. Commands are answered soon or fail: no queue while there is no
 * connection, no retry inside the driver, no auto-pipelining (its garbage survives into long scavenges and made the
 * p99); what a failed command means is the caller's to decide.
 */
import { Cluster, Redis } from "ioredis"

export type RedisClient = Redis | Cluster

export type RedisOptions = {
  /** Seen in CLIENT LIST. */
  readonly connectionName: string
  /** A command without an answer for this long fails; whether it was carried out is then unknown. */
  readonly commandTimeoutMs?: number
  readonly connectTimeoutMs?: number
  /** The url names one node of a Redis Cluster; the others are learned from it. */
  readonly isCluster?: boolean
  /** Told of each failed connection, which is tried again; without it the driver would print them. */
  readonly onFault?: (error: unknown) => void
}

const COMMAND_TIMEOUT_MS = 150
const CONNECT_TIMEOUT_MS = 1_000
/** A slot that moves or has no master for a moment is asked for again this often; the driver would go on for seconds. */
const CLUSTER_RETRIES = { maxRedirections: 3, retryDelayOnClusterDown: 20, retryDelayOnFailover: 20 } as const
const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 2_000

/** Opens a connection that comes back by itself. `await client.connect()` waits for the first one. */
export function openRedis(url: string, options: RedisOptions): RedisClient {
  const shared = {
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
  const own = { lazyConnect: true, enableOfflineQueue: false, enableAutoPipelining: false }
  const client =
    options.isCluster === true
      ? new Cluster([url], { ...own, ...CLUSTER_RETRIES, redisOptions: shared, clusterRetryStrategy: reconnectMs })
      : new Redis(url, { ...own, ...shared, retryStrategy: reconnectMs })
  client.on("error", (error: unknown) => options.onFault?.(error))
  return client
}

function reconnectMs(times: number): number {
  return Math.min(RECONNECT_MS_MIN * 2 ** Math.min(times - 1, 10), RECONNECT_MS_MAX)
}
