import { pino } from "pino"
import { afterEach, beforeEach, expect, inject, test } from "vitest"
import { liveProxies, ProxyPresence } from "../../src/ledger/proxy-instances.ts"
import { systemClock } from "../../src/platform/clock.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { until } from "../support/test-app.ts"
import { openLedger } from "./ledger-database.ts"

let sql: Sql

beforeEach(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
})
afterEach(() => sql.end())

function presence(id: string): ProxyPresence {
  const self = { id, journalId: "019a0000-0000-7000-8000-00000000000a" }
  return new ProxyPresence({ sql, clock: systemClock, log: pino({ level: "silent" }), self })
}

test("proxies that run see one another; one that stops is not waited for any more", async () => {
  const [one, two] = [presence("one"), presence("two")]
  await one.start()
  await two.start()
  expect(await liveProxies(sql)).toEqual(["one", "two"])
  expect([one.count, two.count]).toEqual([1, 2])
  await one.stop()
  expect(await liveProxies(sql)).toEqual(["two"])
  await two.stop()
})

test("a proxy that was killed is forgotten after fifteen seconds, and its row a day later", async () => {
  await sql`INSERT INTO proxy_instances (id, journal_id, seen_at) VALUES
    ('killed', gen_random_uuid(), now() - interval '16 seconds'), ('long gone', gen_random_uuid(), now() - interval '2 days')`
  const one = presence("one")
  await one.start()
  expect(await liveProxies(sql)).toEqual(["one"])
  expect((await sql`SELECT id FROM proxy_instances ORDER BY id`).map((row) => row.id)).toEqual(["killed", "one"])
  await one.stop()
})

test("a proxy cannot start without being seen", async () => {
  await sql`DROP TABLE proxy_instances`
  await expect(presence("one").start()).rejects.toThrow("proxy_instances")
})

test("a stop does not wait for a Postgres that is silent", async () => {
  const one = presence("one")
  await one.start()
  const locked = Promise.withResolvers<void>()
  const locking = sql.begin(async (transaction) => {
    await transaction`LOCK TABLE proxy_instances IN ACCESS EXCLUSIVE MODE`
    await locked.promise
  })
  await until(async () => (await sql`SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted`)[0])
  await one.stop()
  // Only now is the statement free to go.
  locked.resolve()
  await locking
})
