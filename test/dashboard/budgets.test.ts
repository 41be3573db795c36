/** Budgets in order and in words: where each goes, what a limit will do, and what a form means. */
import { describe, expect, test } from "vitest"
import type { BudgetStanding, ScopedLimit } from "../../src/dashboard/api/limits.ts"
import { guess } from "../../src/dashboard/format/format.ts"
import { endOfDay, inTime } from "../../src/dashboard/format/moment.ts"
import { newDraft, readCap, readDraft, readThresholds } from "../../src/dashboard/pages/budgets/draft.ts"
import { budgetRows, countAtRisk, isMeant } from "../../src/dashboard/pages/budgets/rows.ts"
import { outlookOf, sentenceOf } from "../../src/dashboard/pages/budgets/words.ts"

const AS_OF = "2026-11-24T15:00:00.000Z"

function standing(changes: Partial<BudgetStanding> = {}): BudgetStanding {
  return {
    ...{ limit_id: "lim_1", scope: "project", subject: "proj_1", subject_name: "search", each: null },
    ...{ counted: null, counted_name: null, tool: null, tag: null, kind: "usd", window: "month", days: null },
    ...{ time_zone: "Europe/Berlin", enforcement: "hard", cap: "500", used: "410.25", percent: 82 },
    ...{ resets_at: "2026-11-30T23:00:00.000Z", state: "ok", projected_end: "495.4", low: "480", high: "510" },
    ...{ exhausted_at: null, days_to_exhaustion: null },
    ...changes,
  }
}

function limit(id: string, changes: Partial<ScopedLimit> = {}): ScopedLimit {
  return {
    ...{ id, kind: "usd", window: "month", cap: "500", time_zone: "UTC", anchor_day: 1, days: null },
    ...{ enforcement: "hard", thresholds: [50, 80, 100], on_store_failure: "local", raised_cap: null },
    ...{ raised_until: null, organization_id: "org_1", scope: { project_id: id }, refusals: 0 },
    ...{ shadow_refusals: null, created_at: AS_OF },
    ...changes,
  }
}

describe("where a budget goes", () => {
  const words = (changes: Partial<BudgetStanding>) => outlookOf(standing(changes), AS_OF).text
  test.each([
    [{ state: "exceeded" }, "Used up, refusing"],
    [{ state: "exceeded", enforcement: "soft" }, "Used up, warning"],
    [{ state: "too_early" }, "Too early to project"],
    [{ state: "warning", exhausted_at: "2026-11-27T09:00:00Z" }, "Full on Fri 27 Nov"],
    [{ state: "warning", exhausted_at: "2026-11-24T15:40:00Z" }, "Full in 40 min"],
    [{ state: "ok", exhausted_at: "2027-09-03T09:00:00Z", resets_at: null }, "Full on 3 Sep 2027"],
    [{ state: "ok" }, "Ends at about $495"],
    [{ state: "ok", kind: "tokens", projected_end: "12840000" }, "Ends at about 12.8\u00a0M"],
    [{ state: "ok", projected_end: null }, "Not full within a year"],
  ] as const)("%j: %s", (changes, said) => expect(words(changes)).toBe(said))

  test("a day is that of the budget's zone, and its moment stands with it", () => {
    const { text, more } = outlookOf(standing({ state: "warning", exhausted_at: "2026-11-28T23:30:00Z" }), AS_OF)
    expect([text, more]).toEqual(["Full on Sun 29 Nov", "29 Nov, 00:30 CET"])
  })
})

test("what is used up stands first, then what will be soonest, then what is used most, then what nobody has used", () => {
  const standings = [
    standing({ limit_id: "ok", percent: 60 }),
    standing({ limit_id: "later", state: "warning", days_to_exhaustion: 5, percent: 95 }),
    standing({ limit_id: "soon", state: "warning", days_to_exhaustion: 1.5, percent: 40 }),
    standing({ limit_id: "early", state: "too_early", percent: 99 }),
    standing({ limit_id: "over", state: "exceeded", days_to_exhaustion: 0, percent: 120 }),
    standing({ limit_id: "more", percent: 70 }),
  ]
  const limits = ["unused", ...standings.map(({ limit_id }) => limit_id)].map((id) => limit(id))
  const rows = budgetRows(limits, standings, (id) => id)
  expect(rows.map(({ id }) => id)).toEqual(["over", "soon", "later", "more", "ok", "early", "unused"])
  expect(countAtRisk([...standings, standing({ state: "exceeded", enforcement: "shadow" })])).toBe(3)
})

test("a limit that counts several apart has a row for each who has used something", () => {
  const own = limit("lim_1", { scope: { project_id: "proj_1", each: "user" } })
  const each = { each: "user", counted: "user_1", counted_name: "Ann" } as const
  const rows = budgetRows(
    [own],
    [standing(each), standing({ ...each, counted: "nobody", counted_name: null, percent: 10 })],
    () => "search",
  )
  expect(rows.map(({ name, what }) => [name, what])).toEqual([
    ["Ann", "User, of project search"],
    ["Calls without a user", "User, of project search"],
  ])
})

test("filters of other pages leave the limits that the server would leave", () => {
  const inProject = (key: string) => (key === "key_1" ? "proj_1" : null)
  const key = limit("lim_1", { scope: { key_id: "key_1" } })
  expect(isMeant(key, { project: ["proj_1"] }, inProject)).toBe(true)
  expect(isMeant(key, { project: ["proj_2"] }, inProject)).toBe(false)
  expect(isMeant(key, { user: ["user_1"] }, inProject)).toBe(false)
  expect(isMeant(key, {}, inProject)).toBe(true)
})

describe("a limit in words", () => {
  const zone = { time_zone: "Europe/Berlin", anchor_day: 1, days: null, name: "search" }
  test.each([
    [
      { ...zone, kind: "usd", cap: "500", window: "month", scope: { project_id: "p" }, thresholds: [80, 100] },
      "All calls of the project search together may spend $500.00 a month, from day 1 on, by Europe/Berlin. A call that could go over it is refused. Whoever watches it under Alerts is told at 80 % and 100 %.",
    ],
    [
      {
        ...{ ...zone, kind: "tokens", cap: "100000", window: "rolling", days: 7, enforcement: "soft" as const },
        scope: { organization_id: "o", each: "user" as const, tool: "evals" },
      },
      "Each user of the organization search, in calls with the tool evals, may use 100,000 tokens in 7 days, days by Europe/Berlin. Calls over it pass, and their answers carry a warning. Nobody is told as it fills up.",
    ],
    [
      { ...zone, kind: "concurrency", cap: "4", window: "none", scope: { key_id: "k" } },
      "All calls of the key search together may have 4 calls at once. A call that could go over it is refused.",
    ],
  ])("%#", (described, said) => expect(sentenceOf(described)).toBe(said))
})

describe("a form of a limit", () => {
  const draft = { ...newDraft("Europe/Berlin", { project_id: "proj_1" }), cap: "1,500.50" }
  test("means what it says, and nothing that has no effect", () => {
    expect(readDraft(draft)).toMatchObject({
      wanted: { scope: { project_id: "proj_1" }, cap: "1500.50", window: "month", time_zone: "Europe/Berlin" },
    })
    const calls = readDraft({ ...draft, kind: "concurrency", cap: "4" })
    expect(calls).toMatchObject({ wanted: { window: "none", cap: 4 } })
    expect(calls).not.toHaveProperty("wanted.time_zone")
    const key = readDraft({ ...draft, on: "key_id", subjects: { key_id: "key_1" }, each: "user", narrowedBy: "tool" })
    expect(key).toMatchObject({ wanted: { scope: { key_id: "key_1" } } })
  })

  test("tells what is wrong beside its field", () => {
    const wrong = { ...draft, subjects: {}, cap: "much", thresholds: "80, 50", window: "rolling", days: "40" }
    const read = readDraft(wrong)
    expect(Object.keys("faults" in read ? read.faults : {}).sort()).toEqual(["cap", "days", "subject", "thresholds"])
    expect(readCap("tokens", "12.5")).toHaveProperty("error")
    expect(readThresholds("50 %, 80 %")).toEqual({ percents: [50, 80] })
    expect(readThresholds("")).toEqual({ percents: [] })
  })
})

test.each([
  ["25512.40", "$25,500"],
  ["7999.6", "$8,000"],
  ["545.4", "$545"],
  ["54.6", "$55"],
  ["5.456", "$5.46"],
  ["0.0049", "< $0.01"],
  ["999999", "$1,000,000"],
])("a guess at %s is %s", (usd, shown) => expect(guess(usd)).toBe(shown))

test("a day is over at its zone's midnight, also where clocks change", () => {
  expect(endOfDay("2026-11-30", "Europe/Berlin")).toBe("2026-11-30T23:00:00.000Z")
  expect(endOfDay("2026-03-28", "Europe/Berlin")).toBe("2026-03-28T23:00:00.000Z")
  expect(endOfDay("2026-03-29", "Europe/Berlin")).toBe("2026-03-29T22:00:00.000Z")
  expect(endOfDay("2026-10-25", "America/New_York")).toBe("2026-10-26T04:00:00.000Z")
  expect(endOfDay("2026-12-31", "Asia/Kolkata")).toBe("2026-12-31T18:30:00.000Z")
  expect(endOfDay("2026-12-31", "UTC")).toBe("2027-01-01T00:00:00.000Z")
})

test("what comes within a day is told by the clock, what does not is not", () => {
  expect(inTime("2026-11-24T15:00:10Z", AS_OF)).toBe("in 1 min")
  expect(inTime("2026-11-24T16:20:00Z", AS_OF)).toBe("in 80 min")
  expect(inTime("2026-11-24T20:40:00Z", AS_OF)).toBe("in 6 h")
  expect(inTime("2026-11-25T16:00:00Z", AS_OF)).toBeNull()
  expect(inTime("2026-11-24T14:00:00Z", AS_OF)).toBeNull()
})
