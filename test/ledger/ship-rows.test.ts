import postgres from "postgres"
import { describe, expect, test } from "vitest"
import type { LedgerRow } from "../../src/ledger/ingest.ts"
import { type Shipping, shipRows } from "../../src/ledger/ship-rows.ts"
import { sampleRecord } from "./sample-record.ts"

const JOURNAL = "019a0000-0000-7000-8000-000000000001"

function refusal(code: string): Error {
  // The driver's own class, whose constructor takes the server's fields; its types leave the constructor out.
  const PostgresError = postgres.PostgresError as unknown as new (fields: { code: string; message: string }) => Error
  return new PostgresError({ code, message: `refused with ${code}` })
}

function lost(): Error {
  return Object.assign(new Error("connection closed"), { code: "CONNECTION_CLOSED" })
}

/** A ledger that answers each batch as `answer` says, and keeps what was told to it. */
function fakeLedger(answer: (rows: readonly LedgerRow[], attempt: number) => Error | null) {
  const seen = {
    batches: [] as number[][],
    taken: [] as number[],
    aside: [] as string[],
    pauses: [] as number[],
    months: [] as string[],
  }
  const shipping: Shipping = {
    ingest: async (_, rows) => {
      seen.batches.push(rows.map((row) => row.seq))
      const error = answer(rows, seen.batches.length)
      if (error !== null) throw error
      seen.taken.push(...rows.map((row) => row.seq))
    },
    makeMonths: async (months) => void seen.months.push(...months.map((month) => month.table)),
    setAside: (_, row, reason) => void seen.aside.push(`${row.seq} ${reason.sqlState}`),
    pause: async (attempt) => void seen.pauses.push(attempt),
    answered: () => undefined,
  }
  return { seen, shipping }
}

function batch(count: number): LedgerRow[] {
  return Array.from({ length: count }, (_, index) => ({ seq: index + 1, body: JSON.stringify(sampleRecord()) }))
}

describe("shipping", () => {
  test("rows that are refused for what they hold are found one by one, and all others get through in order", async () => {
    const poison = new Set([1, 4, 5, 13])
    const { seen, shipping } = fakeLedger((rows) => (rows.some((row) => poison.has(row.seq)) ? refusal("22P02") : null))
    await shipRows(shipping, JOURNAL, batch(13))
    expect(seen.aside).toEqual(["1 22P02", "4 22P02", "5 22P02", "13 22P02"])
    expect(seen.taken).toEqual([2, 3, 6, 7, 8, 9, 10, 11, 12])
    expect(seen.pauses).toEqual([])
  })

  test("an index row that grew too long is the row's fault too", async () => {
    const { seen, shipping } = fakeLedger((rows) => (rows.some((row) => row.seq === 2) ? refusal("54000") : null))
    await shipRows(shipping, JOURNAL, batch(3))
    expect(seen).toMatchObject({ aside: ["2 54000"], taken: [1, 3] })
  })

  test.each([
    ["a lost connection", lost()],
    ["a server that shuts down", refusal("57P01")],
    ["a full disk", refusal("53100")],
    ["a read-only server", refusal("25006")],
    ["a deadlock", refusal("40P01")],
    ["a missing column", refusal("42703")],
    ["an error that nobody knows", new Error("?")],
  ])("%s is waited out, longer each time, and sets nothing aside", async (_, error) => {
    const { seen, shipping } = fakeLedger((_rows, attempt) => (attempt <= 3 ? error : null))
    await shipRows(shipping, JOURNAL, batch(2))
    expect(seen).toMatchObject({ pauses: [0, 1, 2], aside: [], taken: [1, 2] })
  })

  test("a connection that is lost while a batch is halved sends only the half again", async () => {
    const { seen, shipping } = fakeLedger((rows, attempt) => {
      if (attempt === 1) return refusal("23502")
      if (attempt === 2) return lost()
      return rows.some((row) => row.seq === 4) ? refusal("23502") : null
    })
    await shipRows(shipping, JOURNAL, batch(4))
    expect(seen.batches).toEqual([[1, 2, 3, 4], [1, 2], [1, 2], [3, 4], [3], [4]])
    expect(seen).toMatchObject({ aside: ["4 23502"], taken: [1, 2, 3] })
  })

  test("a partition that another process made first is no reason to set a row aside", async () => {
    const { seen, shipping } = fakeLedger((_rows, attempt) => (attempt === 1 ? refusal("23514") : null))
    await shipRows(shipping, JOURNAL, batch(1))
    expect(seen).toMatchObject({ months: ["usage_records_2026_11"], aside: [], taken: [1] })
  })

  test("when waiting is over nothing was lost: the error of the wait comes out", async () => {
    const { seen, shipping } = fakeLedger(() => lost())
    const closing = new Error("closing")
    await expect(shipRows({ ...shipping, pause: () => Promise.reject(closing) }, JOURNAL, batch(2))).rejects.toBe(
      closing,
    )
    expect(seen).toMatchObject({ aside: [], taken: [] })
  })
})
