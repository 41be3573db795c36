/**
 * Whether the configuration can be run by several processes. What they share must stand outside of each of them:
 * refused at the start, because a limit that each worker counts for itself is no limit.
 */
import type { Config } from "./schema.ts"

/** What would have to be there for this many workers, as the end of "expected …"; null where all of it is. */
export function workersInstead(config: Pick<Config, "workers" | "database_url" | "redis_url">): string | null {
  if (config.workers === 1) return null
  const missing = [
    ...(config.redis_url === undefined
      ? [`REDIS_URL (redis_url) to be set: limits counted in each process would be multiplied by ${config.workers}`]
      : []),
    ...(config.database_url === undefined
      ? ["DATABASE_URL (database_url) to be set: the embedded database belongs to one process"]
      : []),
  ]
  return missing.length === 0 ? null : `1, or ${missing.join("; and ")}`
}
