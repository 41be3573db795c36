import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { RefusalTally } from "../../src/admission/refusal-tally.ts"
import { LimitRefusalWriter } from "../../src/ledger/limit-refusals.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"

const log = pino({ level: "silent" })
let url: string
let sql: Sql

beforeAll(async () => {
  url = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(url)
})
afterAll(() => sql?.end())

const written = () =>
  sql`SELECT limit_id, subject, window_id, refused, shadowed FROM limit_refusals ORDER BY limit_id, subject, window_id`
const limit = (id: string, subject: string) => ({ id, subject })

test("what several processes have counted is added up, counter by counter and window by window", async () => {
  const [one, other] = [new RefusalTally(), new RefusalTally()]
  const writers = [one, other].map((tally) => new LimitRefusalWriter({ sql, tally, log }))
  for (const tally of [one, other]) {
    tally.add(limit("lim_a", "proj_1 user_1"), "2026-11-23", "refused")
    tally.add(limit("lim_a", "proj_1 user_2"), "2026-11-23", "refused")
    tally.add(limit("lim_b", "proj_1"), "2026-11", "shadowed")
    tally.add(limit("lim_b", "proj_1"), "2026-11", "shadowed")
  }
  one.add(limit("lim_a", "proj_1 user_1"), "2026-11-24", "refused")
  await Promise.all(writers.map((writer) => writer.write()))
  await Promise.all(writers.map((writer) => writer.write()))
  expect(await written()).toEqual([
    { limit_id: "lim_a", subject: "proj_1 user_1", window_id: "2026-11-23", refused: "2", shadowed: "0" },
    { limit_id: "lim_a", subject: "proj_1 user_1", window_id: "2026-11-24", refused: "1", shadowed: "0" },
    { limit_id: "lim_a", subject: "proj_1 user_2", window_id: "2026-11-23", refused: "2", shadowed: "0" },
    { limit_id: "lim_b", subject: "proj_1", window_id: "2026-11", refused: "0", shadowed: "4" },
  ])
})

test("while nobody can write, so many counters wait and no more, and those that wait go on counting", () => {
  const tally = new RefusalTally()
  for (let index = 0; index < 50_010; index += 1) tally.add(limit("lim", `proj user_${index}`), "2026-11-23", "refused")
  tally.add(limit("lim", "proj user_0"), "2026-11-23", "refused")
  const taken = tally.take()
  expect([taken.length, taken[0]?.refused]).toEqual([50_000, 2])
})

test("what cannot be written is written with the next, and the end of a process writes what is left", async () => {
  await sql`DELETE FROM limit_refusals`
  const tally = new RefusalTally()
  const away = openPostgres(url, { max: 1, applicationName: "test" })
  await away.end()
  tally.add(limit("lim_c", "key_1"), "lifetime", "refused")
  await expect(new LimitRefusalWriter({ sql: away, tally, log }).write()).rejects.toThrow("CONNECTION_ENDED")
  tally.add(limit("lim_c", "key_1"), "lifetime", "refused")
  await new LimitRefusalWriter({ sql, tally, log }).stop()
  expect(await written()).toMatchObject([{ limit_id: "lim_c", refused: "2" }])
  expect(tally.take()).toEqual([])
})
