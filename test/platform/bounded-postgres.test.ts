import { beforeAll, expect, inject, test } from "vitest"
import { BoundedPostgres, PostgresTimeout } from "../../src/platform/bounded-postgres.ts"
import { isConnectionLost, openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

let url: string

beforeAll(async () => {
  url = await createDatabase(inject("postgresUrl"))
})

function openBounded() {
  const pools: Sql[] = []
  const postgres = new BoundedPostgres(() => {
    const sql = openPostgres(url, { max: 2, applicationName: "test" })
    pools.push(sql)
    return sql
  })
  return { postgres, pools }
}

const one = (sql: Sql) => sql`SELECT 1 AS one`
const slow = (sql: Sql) => sql`SELECT pg_sleep(20)`

test("an act that misses its deadline fails with a time-out, what shares its pool fails with it, and the next act gets another", async () => {
  const { postgres, pools } = openBounded()
  await postgres.run(one, 5_000)
  const [late, beside] = await Promise.allSettled([postgres.run(slow, 50), postgres.run(slow, 20_000)])
  expect(late).toMatchObject({ status: "rejected", reason: expect.any(PostgresTimeout) })
  expect(beside).toMatchObject({ status: "rejected", reason: { code: "CONNECTION_DESTROYED" } })
  expect(await postgres.run(one, 5_000)).toMatchObject([{ one: 1 }])
  expect(pools).toHaveLength(2)
  await postgres.close()
})

test("a statement that Postgres refuses keeps the pool; a connection that it ends does not", async () => {
  const { postgres, pools } = openBounded()
  await expect(postgres.run((sql) => sql`SELECT 1 / 0`, 5_000)).rejects.toThrow("division by zero")
  await postgres.run(one, 5_000)
  expect(pools).toHaveLength(1)
  const ended = postgres.run((sql) => sql`SELECT pg_terminate_backend(pg_backend_pid())`, 5_000)
  await expect(ended).rejects.toSatisfy(isConnectionLost)
  expect(await postgres.run(one, 5_000)).toMatchObject([{ one: 1 }])
  expect(pools).toHaveLength(2)
  await postgres.close()
})
