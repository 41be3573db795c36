/** The tests' Postgres is a real server, and leaves nothing behind. */
import postgres from "postgres"
import { expect, test } from "vitest"
import { childrenOf } from "./child-processes.ts"
import { startRealPostgres } from "./real-postgres.ts"

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test("a real Postgres starts, answers on loopback with fsync on, gives empty databases, and leaves no process", async () => {
  const server = await startRealPostgres()
  const processes = [server.pid, ...childrenOf(server.pid)]
  const databaseUrl = await server.createDatabase("first_room")
  const sql = postgres(databaseUrl, { max: 2 })
  try {
    const [row] = await sql`SELECT current_database() AS database, current_setting('fsync') AS fsync,
      current_setting('server_version_num')::int AS version, host(inet_server_addr()) AS address`
    expect(row).toMatchObject({ database: "first_room", fsync: "on", address: "127.0.0.1" })
    expect(row?.version).toBeGreaterThanOrEqual(140_000)
  } finally {
    await sql.end()
    await server.stop()
  }
  expect(processes.length).toBeGreaterThan(3)
  expect(processes.filter(isAlive)).toEqual([])
})

test("a wrong password is refused", async () => {
  const server = await startRealPostgres()
  const wrong = new URL(server.url)
  wrong.password = "wrong"
  const sql = postgres(wrong.href, { max: 1 })
  try {
    await expect(sql`SELECT 1`).rejects.toMatchObject({ code: "28P01" })
  } finally {
    await sql.end()
    await server.stop()
  }
})
