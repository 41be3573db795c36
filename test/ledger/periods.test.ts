/** Months are closed once, agree with the ledger to the last decimal, and what comes late is stated once, in the next one. */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { type Closed, closePeriod, listPeriods, readStatement, reportsOnTheirWay } from "../../src/ledger/periods.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { csvOf } from "../../src/reporting/export-text.ts"
import { periodTable } from "../../src/reporting/period-table.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const NOW_MS = Date.UTC(2026, 10, 20)
const ACTOR = { name: "test", ip: "" }
const at = { nowMs: NOW_MS, actor: ACTOR }
const journalId = uuidv7Mint()(NOW_MS)

let sql: Sql
let counter = 0
let seq = 0

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await ensurePartitions(sql, Date.UTC(2026, 7, 1), NOW_MS)
})
afterAll(() => sql?.end())

async function organization(timeZone = "UTC"): Promise<string> {
  const id = `org_${counter++}`
  await sql`INSERT INTO organizations (id, name, time_zone) VALUES (${id}, ${`Name of ${id}`}, ${timeZone})`
  await sql`
    INSERT INTO projects (id, organization_id, name, client, cost_center)
    VALUES (${`proj_${id}`}, ${id}, 'search', 'Acme', 'CC-7')`
  return id
}

async function book(organizationId: string, ...changes: Partial<UsageRecord>[]): Promise<void> {
  const records = changes.map((change) => {
    return sampleRecord({
      organization_id: organizationId,
      project_id: `proj_${organizationId}`,
      charges: [],
      ...change,
    })
  })
  await ingest(
    sql,
    journalId,
    records.map((record) => ({ seq: ++seq, body: JSON.stringify(record) })),
  )
}

async function closed(organizationId: string, period: string): Promise<Extract<Closed, { kind: "closed" }>> {
  const answer = await closePeriod(sql, organizationId, period, at)
  if (answer.kind === "refused") throw new Error(answer.message)
  return answer
}

/** What records alone say of a stretch, added up by Postgres. */
async function ofRecords(organizationId: string, from: string, until: string) {
  const [row] = await sql`
    SELECT count(*) FILTER (WHERE kind <> 'adjustment')::text AS records,
      coalesce(trim_scale(sum(cost_usd)), 0)::text AS cost_usd, sum(output_tokens)::text AS output_tokens
    FROM usage_records
    WHERE organization_id = ${organizationId} AND time >= ${from}::text::timestamptz AND time < ${until}::text::timestamptz`
  return row
}

describe("a statement", () => {
  test("agrees with the records of the month to the last decimal, line by line and in its totals", async () => {
    const id = await organization()
    const many = Array.from({ length: 60 }, (_, index) => ({
      time: new Date(Date.UTC(2026, 8, 1) + index * 12 * 3_600_000).toISOString(),
      cost_usd: index % 7 === 0 ? null : `${index}.${String(999_999_999_999 - index).padStart(12, "0")}`,
      price_state: index % 7 === 0 ? ("unpriced" as const) : ("priced" as const),
      model_served: `model-${index % 3}`,
      provider: index % 2 === 0 ? "openai" : "anthropic",
    }))
    await book(id, ...many, { time: "2026-10-01T00:00:00Z", cost_usd: "5" }, { time: "2026-08-31T23:59:59Z" })
    const { statement } = await closed(id, "2026-09")
    expect(statement.totals).toMatchObject((await ofRecords(id, "2026-09-01Z", "2026-10-01Z")) as object)
    expect(statement.totals.unpriced_records).toBe("9")
    expect(statement.lines).toHaveLength(6)
    expect(
      statement.lines.every(
        ({ project, client, cost_center }) => `${project} ${client} ${cost_center}` === "search Acme CC-7",
      ),
    ).toBe(true)
    expect(await readStatement(sql, id, "2026-09", NOW_MS)).toEqual(statement)
  })

  test("goes by the organization's own midnights", async () => {
    const id = await organization("Europe/Berlin")
    await book(id, { time: "2026-08-31T22:00:00Z", cost_usd: "1" }, { time: "2026-09-30T22:00:00Z", cost_usd: "10" })
    expect((await closed(id, "2026-09")).statement.totals.cost_usd).toBe("1")
    expect((await closed(id, "2026-10")).statement.totals.cost_usd).toBe("10")
  })

  test("leaves no hour out and counts none twice where the organization moves to another zone", async () => {
    const id = await organization("Europe/Berlin")
    await book(id, { time: "2026-09-30T21:00:00Z", cost_usd: "1" }, { time: "2026-09-30T23:00:00Z", cost_usd: "10" })
    const september = await closed(id, "2026-09")
    await sql`UPDATE organizations SET time_zone = 'UTC' WHERE id = ${id}`
    const october = await closed(id, "2026-10")
    expect([september.statement.totals.cost_usd, october.statement.totals.cost_usd]).toEqual(["1", "10"])
    expect(october.statement.starts_at).toEqual(september.statement.ends_at)
  })

  test("is a file with a row for each line, which a spreadsheet does not take for formulas", async () => {
    const id = await organization()
    await book(id, { time: "2026-09-03T00:00:00Z", cost_usd: "1.5", model_served: "=cmd()" })
    let text = ""
    for await (const piece of csvOf(periodTable((await closed(id, "2026-09")).statement))) text += piece
    const [head, row, ...rest] = text.trim().split("\r\n")
    expect(head).toMatch(/^organization_id,organization,period,state,line,for_period,project_id,.*,cost_usd,closed_at$/)
    expect(row).toContain(
      `${id},Name of ${id},2026-09,closed,usage,2026-09,proj_${id},search,Acme,CC-7,openai,'=cmd(),1,0,0,1000,200,0,0,300,1.5,`,
    )
    expect(rest).toEqual([])
  })
})

describe("what comes after the closing", () => {
  test("is a line of its own month in the next statement, once, and changes no statement that was closed", async () => {
    const id = await organization()
    const original = sampleRecord({ time: "2026-08-10T10:00:00Z", organization_id: id, cost_usd: "2", charges: [] })
    await book(id, original)
    const august = await closed(id, "2026-08")
    const correction = {
      ...original,
      kind: "adjustment",
      adjusts_id: original.id,
      input_uncached_tokens: 0,
      cache_read_tokens: 0,
      output_tokens: -100,
    } as const
    await book(id, { ...correction, id: uuidv7Mint()(NOW_MS), cost_usd: "-0.000000000001" })
    await book(id, { time: "2026-08-20T00:00:00Z", cost_usd: "3" }, { time: "2026-09-01T00:00:00Z", cost_usd: "4" })
    expect((await readStatement(sql, id, "2026-10", NOW_MS))?.lines).toEqual([])
    const { statement } = await closed(id, "2026-09")
    expect(statement).toMatchObject({ own_cost_usd: "4", earlier_cost_usd: "2.999999999999" })
    expect(
      statement.lines.map(({ for_period, records, adjustments, output_tokens, cost_usd }) => [
        for_period,
        records,
        adjustments,
        output_tokens,
        cost_usd,
      ]),
    ).toEqual([
      ["2026-09", "1", "0", "300", "4"],
      ["2026-08", "1", "0", "300", "3"],
      ["2026-08", "0", "1", "-100", "-0.000000000001"],
    ])
    expect(await readStatement(sql, id, "2026-08", NOW_MS)).toEqual(august.statement)
    expect((await closed(id, "2026-10")).statement.lines).toEqual([])
    await book(id, { time: "2026-08-21T00:00:00Z", cost_usd: "7" })
    const running = await readStatement(sql, id, "2026-11", NOW_MS)
    expect(running?.lines.map(({ for_period, cost_usd }) => [for_period, cost_usd])).toEqual([["2026-08", "7"]])
    const stated =
      await sql`SELECT trim_scale(sum(cost_usd))::text AS usd FROM period_lines WHERE organization_id = ${id}`
    expect(stated[0]?.usd).toBe("8.999999999999")
  })

  test("a month without any usage closes too, and takes what came for the one before", async () => {
    const id = await organization()
    await closed(id, "2026-08")
    await book(id, { time: "2026-08-30T00:00:00Z", cost_usd: "3" })
    expect((await closed(id, "2026-09")).statement).toMatchObject({ own_cost_usd: "0", earlier_cost_usd: "3" })
  })
})

describe("closing", () => {
  test("of several at once one does it, and all have its statement", async () => {
    const id = await organization()
    await book(id, { time: "2026-08-10T00:00:00Z", cost_usd: "1" })
    const answers = await Promise.all([1, 2, 3].map(() => closed(id, "2026-08")))
    expect(answers.map(({ isNew }) => isNew).sort()).toEqual([false, false, true])
    expect(new Set(answers.map(({ statement }) => JSON.stringify(statement))).size).toBe(1)
    expect((await closed(id, "2026-08")).isNew).toBe(false)
    const audit =
      await sql`SELECT subject, after FROM audit_log WHERE organization_id = ${id} AND action = 'period.close'`
    expect(audit).toEqual([{ subject: "2026-08", after: expect.objectContaining({ cost_usd: "1", records: "1" }) }])
  })

  test.each([
    ["2026-11", /2026-11 is not over: it ends at 2026-12-01T00:00:00\.000Z \(UTC\)/],
    ["2026-10", /close 2026-09 before 2026-10/],
    ["2026-07", /lies before 2026-08, the first month that was closed/],
    ["2026-13", /is no month/],
  ])("refuses %s and says why", async (period, message) => {
    const id = await organization()
    await closed(id, "2026-08")
    expect(await closePeriod(sql, id, period, at)).toEqual({ kind: "refused", message: expect.stringMatching(message) })
  })

  test("cannot be undone, by whatever statement", async () => {
    const id = await organization()
    await book(id, { time: "2026-08-10T00:00:00Z" })
    await closed(id, "2026-08")
    for (const statement of ["UPDATE period_lines SET cost_usd = 0", "DELETE FROM periods", "TRUNCATE period_lines"])
      await expect(sql.unsafe(statement), statement).rejects.toThrow("a closed period is never changed")
  })

  test("knows of reports that are not in the ledger yet", async () => {
    const id = await organization()
    await sql`
      INSERT INTO usage_once (organization_id, source, key, record_id, record_time, fingerprint, body)
      VALUES (${id}, 's', 'k', ${uuidv7Mint()(NOW_MS)}::text::uuid, '2026-08-31 23:00Z', '', '{}')`
    expect(await reportsOnTheirWay(sql, id, new Date("2026-09-01T00:00:00Z"))).toBe(1)
    expect(await reportsOnTheirWay(sql, id, new Date("2026-08-31T00:00:00Z"))).toBe(0)
  })
})

test("months are listed from the newest on: the running one, those to close, those that are closed", async () => {
  const id = await organization()
  expect((await listPeriods(sql, id, NOW_MS)).map(({ period, state }) => [period, state])).toEqual([
    ["2026-11", "running"],
  ])
  await book(id, { time: "2026-09-10T00:00:00Z" })
  await closed(id, "2026-09")
  expect((await listPeriods(sql, id, NOW_MS)).map(({ period, state, is_next }) => [period, state, is_next])).toEqual([
    ["2026-11", "running", false],
    ["2026-10", "open", true],
    ["2026-09", "closed", false],
  ])
})
