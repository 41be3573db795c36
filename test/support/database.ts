/** An empty database on the run's Postgres server for each test that asks. */
import { randomBytes } from "node:crypto"
import { openPostgres } from "../../src/platform/postgres.ts"

/** Makes an empty database on the server and returns its url. */
export async function createDatabase(serverUrl: string): Promise<string> {
  const name = `test_${randomBytes(8).toString("hex")}`
  const sql = openPostgres(serverUrl, { max: 1, applicationName: "test" })
  try {
    await sql`CREATE DATABASE ${sql(name)}`
  } finally {
    await sql.end()
  }
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}
