/**
 * What a Postgres server's background processes do and a single-user backend lacks: without checkpoints the write-ahead
 * log grows until the next clean stop (measured: 16 MB files pile up, and recovery reads them all), without vacuum the
 * rows that are updated all day (rollups, limit usage) bloat. Done between clients' turns, one table at a time.
 */

/** The part of PGlite that upkeep needs. */
export interface UpkeepDatabase {
  query<Row>(sql: string, parameters?: unknown[]): Promise<{ rows: Row[] }>
  exec(sql: string): Promise<unknown>
}

const WAL_BYTES_MAX = 64 * 1024 * 1024
/** Below this there is nothing worth a checkpoint, however old the last one is: looking at it writes a little, too. */
const WAL_BYTES_MIN = 1024 * 1024
const CHECKPOINT_MS_MAX = 5 * 60_000

/** Postgres's own autovacuum thresholds (scale 0.2 and 0.1), with a larger floor since each run holds up all clients. */
const TABLE_DUE = `
  SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables
  WHERE n_dead_tup > 1000 + 0.2 * n_live_tup OR n_mod_since_analyze > 1000 + 0.1 * n_live_tup
  ORDER BY n_dead_tup DESC, n_mod_since_analyze DESC LIMIT 1`

/** Does at most one checkpoint and one vacuum; returns what it did. @param sinceCheckpointMs since this last checkpointed. */
export async function runUpkeep(
  database: UpkeepDatabase,
  sinceCheckpointMs: number,
): Promise<{ checkpointed: boolean; vacuumed: string | undefined }> {
  const due = (await database.query<{ name: string }>(TABLE_DUE)).rows[0]?.name
  if (due !== undefined) await database.exec(`VACUUM (ANALYZE) ${due}`)
  const wal = await database.query<{ bytes: number }>(
    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::float8 AS bytes FROM pg_control_checkpoint()",
  )
  const walBytes = wal.rows[0]?.bytes ?? 0
  const checkpointed = walBytes > WAL_BYTES_MAX || (walBytes > WAL_BYTES_MIN && sinceCheckpointMs > CHECKPOINT_MS_MAX)
  if (checkpointed) await database.exec("CHECKPOINT")
  return { checkpointed, vacuumed: due }
}
