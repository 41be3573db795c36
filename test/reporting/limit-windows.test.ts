/** What limits have used window by window, against sums that are made another way. */
import fc from "fast-check"
import { Temporal } from "temporal-polyfill"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import type { Limit } from "../../src/identity/limit.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { limitWindows } from "../../src/reporting/limit-windows.ts"
import { limitOf } from "../contract/limit-store.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { createDatabase } from "../support/real-postgres.ts"

let sql: Sql
let made = 0

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
})
afterAll(() => sql?.end())

const newLimit = (members: Partial<Limit>) => limitOf({ id: `lim_${++made}`, organizationId: "org_a", ...members })

const use = (limit: Limit, window: string, settled: number, counted = "") => sql`
  INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
  VALUES (${limit.organizationId}, ${limit.id}, ${counted === "" ? limit.subject : `${limit.subject} ${counted}`},
          ${window}, ${settled})`

const refuse = (limit: Limit, window: string, refused: number) => sql`
  INSERT INTO limit_refusals (limit_id, subject, window_id, refused)
  VALUES (${limit.id}, ${limit.subject}, ${window}, ${refused})`

const write = (limit: Limit, at: string, action: string, before: object | null, after: object | null) => sql`
  INSERT INTO audit_log (id, at, organization_id, actor, action, subject, before, after)
  VALUES (${`aud_${++made}`}, ${at}, 'org_a', 't', ${action}, ${limit.id},
          ${JSON.stringify(before)}::text::jsonb, ${JSON.stringify(after)}::text::jsonb)`

const ask = (limit: Limit, nowMs: number, asked: { counted?: string; after?: string; max?: number } = {}) =>
  limitWindows(sql, limit, { counted: null, after: "", max: 100, ...asked }, nowMs)

test("each window has the cap that was in force at its last moment, however often it was changed or raised", async () => {
  const limit = newLimit({ window: "month", cap: 900n, timeZone: "Europe/Berlin" })
  const row = (cap: number, raised_cap: number | null = null, raised_until: string | null = null) => ({
    ...{ cap: String(cap), raised_cap: raised_cap === null ? null : String(raised_cap), raised_until },
  })
  await write(limit, "2026-03-10T12:00:00Z", "limit.change", row(100), row(200))
  await write(limit, "2026-05-20T12:00:00Z", "limit.raise", row(200), row(200, 500, "2026-05-31T22:00:00Z"))
  await write(limit, "2026-06-10T12:00:00Z", "limit.raise", row(200), row(200, 700, "2026-07-31T22:00:00Z"))
  await write(limit, "2026-07-31T21:00:00Z", "limit.raise_end", row(200, 700, "2026-07-31T22:00:00Z"), row(200))
  await write(limit, "2026-09-30T21:59:59Z", "limit.change", row(200), row(900))
  // Not about the limit's cap: an entry of something else with the same subject.
  await write(limit, "2026-08-01T00:00:00Z", "other.change", row(1), row(2))
  for (const month of [1, 2, 3, 5, 6, 7, 8, 9, 10]) await use(limit, `2026-${String(month).padStart(2, "0")}`, 100)
  const { windows } = await ask(limit, Date.parse("2026-10-15T12:00:00Z"))
  expect(windows.map(({ id, cap, isCurrent }) => `${id} ${cap}${isCurrent ? " now" : ""}`)).toEqual([
    "2026-10 900 now",
    "2026-09 900",
    "2026-08 200",
    // Ended an hour before the window did.
    "2026-07 200",
    "2026-06 700",
    // The raise ended with the window: it was in force at its last moment.
    "2026-05 500",
    "2026-03 200",
    "2026-02 100",
    "2026-01 100",
  ])
})

test("a limit that was never changed has had the cap that it has, and a raise in force counts in the current window", async () => {
  const limit = newLimit({ window: "day", cap: 50n })
  await use(limit, "2026-11-22", 25)
  await use(limit, "2026-11-23", 25)
  const nowMs = Date.parse("2026-11-23T12:00:00Z")
  expect((await ask(limit, nowMs)).windows.map(({ cap }) => cap)).toEqual([50n, 50n])
  const until = "2026-11-23T13:00:00Z"
  const raised = { cap: "50", raised_cap: "80", raised_until: until }
  await write(limit, "2026-11-23T11:00:00Z", "limit.raise", { cap: "50" }, raised)
  expect((await ask(limit, nowMs)).windows.map(({ cap }) => cap)).toEqual([80n, 50n])
  expect((await ask(limit, Date.parse(until))).windows.map(({ cap }) => cap)).toEqual([50n, 50n])
})

test("windows in which nothing was used but calls were refused are among them, and none of another limit or organization", async () => {
  const limit = newLimit({ window: "week", anchorDay: 3 })
  await refuse(limit, "2026-W46@3", 7)
  await use(limit, "2026-W47@3", 5)
  await use({ ...limit, organizationId: "org_b" }, "2026-W45@3", 9)
  await use(newLimit({ window: "week" }), "2026-W47", 9)
  // What was counted before windows were told apart.
  await sql`INSERT INTO limit_refusals (limit_id, subject, window_id, shadowed) VALUES (${limit.id}, '', '', 4)`
  const { windows } = await ask(limit, Date.parse("2026-11-24T12:00:00Z"))
  expect(windows.map(({ id, settled, refused, shadowed }) => [id, settled, refused, shadowed])).toEqual([
    ["2026-W47@3", 5n, 0, 0],
    ["2026-W46@3", 0n, 7, 0],
  ])
})

test("pages follow one another without gap or overlap, whoever is counted apart", async () => {
  const limit = newLimit({ window: "day", each: "user" })
  const counted = ["nobody", "user_a", "user_b"]
  for (const day of [20, 21, 22]) for (const whom of counted) await use(limit, `2026-11-${day}`, day, whom)
  const nowMs = Date.parse("2026-11-24T12:00:00Z")
  const read: string[] = []
  let after: string | null = ""
  while (after !== null) {
    const page: Awaited<ReturnType<typeof ask>> = await ask(limit, nowMs, { after, max: 2 })
    read.push(...page.windows.map((window) => `${window.id} ${window.counted}`))
    after = page.next
  }
  expect(read).toEqual([22, 21, 20].flatMap((day) => counted.map((whom) => `2026-11-${day} ${whom}`)))
  const own = await ask(limit, nowMs, { counted: "user_b" })
  expect(own.windows.map(({ id, settled }) => [id, settled])).toEqual([
    ["2026-11-22", 22n],
    ["2026-11-21", 21n],
    ["2026-11-20", 20n],
  ])
})

test("a rolling window is the sum of its days, up to today and as long as any of them counts, in every zone", async () => {
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia")
  const first = fc.integer({ min: 0, max: 6_000 }).map((days) => Temporal.PlainDate.from("2011-12-01").add({ days }))
  const uses = fc.uniqueArray(fc.record({ day: fc.nat(45), amount: fc.integer({ min: 1, max: 1_000 }) }), {
    selector: ({ day }) => day,
    minLength: 1,
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(zone, first, fc.integer({ min: 2, max: 31 }), uses, async (timeZone, start, days, used) => {
      const limit = newLimit({ window: "rolling", anchorDay: days, timeZone })
      // What no calendar has nobody can use.
      const isDay = (date: Temporal.PlainDate) => date.toZonedDateTime(timeZone).toPlainDate().equals(date)
      const real = used.filter(({ day }) => isDay(start.add({ days: day })))
      await Promise.all(real.map(({ day, amount }) => use(limit, `${start.add({ days: day })}~${days}`, amount)))
      const today = start.add({ days: 45 })
      const now = today.toZonedDateTime({ timeZone, plainTime: "12:00" })
      const expected = Array.from({ length: 46 }, (_, back) => today.subtract({ days: back })).flatMap((last) => {
        const sum = real.reduce((all, { day, amount }) => {
          const age = start.add({ days: day }).until(last).days
          return age >= 0 && age < days ? all + amount : all
        }, 0)
        if (sum === 0 || !isDay(last)) return []
        return [[`${last}~${days}`, BigInt(sum), last.equals(today)] as const]
      })
      const { windows } = await ask(limit, now.epochMilliseconds)
      expect(windows.map(({ id, settled, isCurrent }) => [id, settled, isCurrent])).toEqual(expected)
      for (const { id, startsAtMs, endsAtMs } of windows) {
        const last = Temporal.PlainDate.from(id.slice(0, 10))
        expect([startsAtMs, endsAtMs]).toEqual([
          last.subtract({ days: days - 1 }).toZonedDateTime(timeZone).epochMilliseconds,
          last.add({ days: 1 }).toZonedDateTime(timeZone).epochMilliseconds,
        ])
      }
    }),
    {
      numRuns: 25,
      examples: [
        [
          "Pacific/Apia",
          Temporal.PlainDate.from("2011-12-01"),
          7,
          [
            { day: 27, amount: 5 },
            { day: 30, amount: 3 },
          ],
        ],
      ],
    },
  )
})
