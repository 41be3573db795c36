/** Holds for calls that go past the proxy: they outlive the process that made them, and end exactly once. */
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import type { Limit } from "../../src/identity/limit.ts"
import type { Reporter } from "../../src/identity/reporter.ts"
import { JournalUnavailable } from "../../src/ledger/journal.ts"
import type { ReportBook } from "../../src/ledger/report-book.ts"
import type { ReportedUsage } from "../../src/ledger/reported-usage.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { ApiError } from "../../src/platform/error-table.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { limitOf } from "../contract/limit-store.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { HeldJournal, reportParts } from "../support/report-parts.ts"
import { openLedger } from "./ledger-database.ts"

const START_MS = Date.UTC(2026, 10, 10, 12)
const MINUTE_MS = 60_000

let url: string
let sql: Sql
let nowMs = START_MS
let counter = 0
const opened: { close(): Promise<void> }[] = []

beforeAll(async () => {
  url = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(url)
})
afterAll(async () => {
  for (const parts of opened) await parts.close()
  await sql?.end()
})

function process(store = new MemoryLimitStore(() => nowMs), databaseUrl = url) {
  const parts = reportParts(databaseUrl, { store, nowMs: () => nowMs })
  opened.push(parts)
  return parts
}

function reporterOf(...limits: Partial<Limit>[]): Reporter {
  const id = `n${counter++}`
  const own = limits.map((limit, index) => {
    return limitOf({ id: `lim_${id}_${index}`, organizationId: `org_${id}`, subject: `key_${id}`, ...limit })
  })
  return { organizationId: `org_${id}`, projectId: `proj_${id}`, userId: "", keyId: `key_${id}`, tags: [], limits: own }
}

function tokens(count: number): ReportedUsage {
  const texts = { tier: "", tool: "", operation: "", endCustomer: "", conversation: "", error: "" }
  return {
    ...texts,
    provider: "openai",
    model: "gpt-4o-mini",
    usage: { ...ZERO_USAGE, inputUncachedTokens: count },
    costPicos: null,
    tags: [],
    metadata: {},
    durationMs: 0,
    timeMs: null,
    outcome: "ok",
  }
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => "held",
    (error: unknown) => (error instanceof ApiError ? error.code : error),
  )

test("a hold outlives its process: the next one takes it up, and its report gives it back, once", async () => {
  const reporter = reporterOf({ cap: 100n }, { kind: "usd", window: "month", cap: 10n ** 9n })
  const { id } = await process().holds.make(reporter, tokens(80), 10 * MINUTE_MS)
  const next = process()
  await next.holds.takeUp()
  expect(await refusal(next.holds.make(reporter, tokens(30), MINUTE_MS))).toBe("insufficient_quota")
  expect([await next.holds.end(id, "key_of_another"), await next.holds.end(id, reporter.keyId)]).toEqual([false, true])
  expect(await next.holds.end(id, reporter.keyId)).toBe(false)
  expect(await refusal(next.holds.make(reporter, tokens(100), MINUTE_MS))).toBe("held")
})

test("an expired hold is given back by whichever process looks, also where its lease has ended before", async () => {
  const store = new MemoryLimitStore(() => nowMs)
  const [maker, other] = [process(store), process(store)]
  const reporter = reporterOf({ cap: 100n }, { kind: "concurrency", window: "none", cap: 1n })
  await maker.holds.make(reporter, tokens(100), MINUTE_MS)
  expect(await refusal(other.holds.make(reporter, tokens(0), MINUTE_MS))).toBe("rate_limit_exceeded")
  await other.holds.expireDue()
  expect(await refusal(other.holds.make(reporter, tokens(0), MINUTE_MS))).toBe("rate_limit_exceeded")
  nowMs += 2 * MINUTE_MS
  await other.holds.expireDue()
  const { id } = await other.holds.make(reporter, tokens(100), MINUTE_MS)
  // Nobody looks for long: the lease ends, and what it held counts as used until the row is found.
  nowMs += 30 * MINUTE_MS
  await store.sweep()
  expect(await refusal(maker.holds.make(reporter, tokens(1), MINUTE_MS))).toBe("insufficient_quota")
  await maker.holds.expireDue()
  expect(await refusal(maker.holds.make(reporter, tokens(100), MINUTE_MS))).toBe("held")
  expect(await maker.holds.end(id, reporter.keyId)).toBe(false)
})

test("what is refused leaves no row behind", async () => {
  const parts = process()
  const reporter = reporterOf({ cap: 10n })
  expect(await refusal(parts.holds.make(reporter, tokens(11), MINUTE_MS))).toBe("insufficient_quota")
  expect(await sql`SELECT id FROM usage_holds WHERE key_id = ${reporter.keyId}`).toEqual([])
})

test("while Postgres or the journal is away nothing is booked or held, and it is said that it may be sent again", async () => {
  const away = process(undefined, "postgres://nobody@127.0.0.1:9/none")
  const reporter = reporterOf({ cap: 1000n })
  const report = { reporter, said: tokens(10), key: "k", source: "key:k" }
  expect(await refusal(away.process(new HeldJournal()).book([report]))).toBe("usage_store_unavailable")
  expect(await refusal(away.holds.make(reporter, tokens(1), MINUTE_MS))).toBe("usage_store_unavailable")

  const parts = process()
  const journal = new HeldJournal()
  const refusing = {
    isFull: () => false,
    end: () => undefined,
    start: () => Promise.reject(new JournalUnavailable("full")),
  }
  expect(await refusal(parts.process(refusing).book([report]))).toBe("usage_store_full")
  expect(await refusal(parts.process({ ...refusing, isFull: () => true }).book([report]))).toBe("usage_store_full")
  expect(
    await parts.store.read([{ limit: reporter.limits[0] as Limit, window: "lifetime", resetsAtMs: null, amount: 0n }]),
  ).toMatchObject([{ settled: 0n }])
  // The claim is there, and the repetition does the rest.
  const book: ReportBook = parts.process(journal)
  expect(await book.book([report])).toMatchObject([{ kind: "booked", isDuplicate: true }])
  expect(
    await parts.store.read([{ limit: reporter.limits[0] as Limit, window: "lifetime", resetsAtMs: null, amount: 0n }]),
  ).toMatchObject([{ settled: 10n }])
})
