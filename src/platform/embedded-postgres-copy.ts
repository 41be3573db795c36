/**
 * Copies the files of an embedded Postgres that runs, as of one instant. Whoever has a transaction on it has its only
 * backend to itself, so that nothing changes while files are copied: everybody else waits for that long (some 40 MB in a
 * new installation, half a second on a busy machine), and not for as long as reading the tables would take. A second embedded
 * Postgres opens the copy as it would open what a kill has left.
 */
import { constants } from "node:fs"
import { cp } from "node:fs/promises"
import { join } from "node:path"
import { openPostgres } from "./postgres.ts"

/** Copies the cluster in `dataDir`, served at `url`, to `target/cluster`. @throws where it could not keep the backend all the while */
export async function copyRunningCluster(url: string, dataDir: string, target: string): Promise<void> {
  const sql = openPostgres(url, { max: 1, applicationName: "tallygate-command" })
  try {
    await sql.begin(async (transaction) => {
      // What the copy's first opening would have to recover otherwise.
      await transaction`CHECKPOINT`
      const [from, to] = [join(dataDir, "cluster"), join(target, "cluster")]
      await cp(from, to, { recursive: true, mode: constants.COPYFILE_FICLONE })
      // Fails where the connection was ended for its silence: then files may have changed while they were copied.
      await transaction`SELECT 1`
    })
  } finally {
    await sql.end({ timeout: 1 })
  }
}
