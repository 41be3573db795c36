import { describe, expect, test } from "vitest"
import { RECORD_COLUMNS } from "../../src/ledger/columns.ts"
import { recordText } from "../../src/ledger/record-text.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { sampleRecord } from "./sample-record.ts"

/** A record in which every column says something. */
function fullRecord(): UsageRecord {
  const record: Record<string, unknown> = { ...sampleRecord() }
  for (const [column, { read }] of Object.entries(RECORD_COLUMNS)) {
    if (read === "text") record[column] = `"${column}"\n\u2028ü\ud83d\ude00`
    if (read === "uuid") record[column] = "01a20af1-f5b2-735e-8fb3-9fd6e33cba3f"
    if (read === "bigint" || read === "integer") record[column] = column.length
    if (read === "numeric") record[column] = column.endsWith("_usd") ? "0.25" : 1.5
    if (read === "boolean") record[column] = true
    if (read === "text[]") record[column] = ["a", '"']
    if (read === "jsonb") record[column] = { [column]: "\\" }
  }
  const attempt = { provider: "p", account: "ä", model: 'm"', status: 200, started_ms: 1, duration_ms: 2 }
  record.attempts = [
    { ...attempt, provider_request_id: "r\\", error: "" },
    { ...attempt, provider_request_id: "", error: "e" },
  ]
  record.charges = [
    { limit_id: 'l"1', subject: "s\n", window: "2026-11", amount: "12" },
    { limit_id: "l2", subject: "ü", window: "lifetime", amount: "1" },
  ]
  // Words of ours, written without escaping.
  return { ...record, kind: "report", billing: "caller", usage_source: "drained", price_state: "priced" } as UsageRecord
}

describe("the text of a record", () => {
  test("holds every column that says something, exactly", () => {
    const record = fullRecord()
    expect(Object.keys(record).sort()).toEqual(Object.keys(RECORD_COLUMNS).sort())
    expect(JSON.parse(recordText(record))).toEqual(record)
  })

  test("leaves out what says nothing, and nothing else", () => {
    const record = sampleRecord()
    const read = JSON.parse(recordText(record))
    for (const [column, value] of Object.entries(record)) {
      if (column in read) expect(read[column], column).toEqual(value)
      else
        expect(["", 0, false, null, "[]", "{}"], column).toContain(
          typeof value === "object" && value !== null ? JSON.stringify(value) : value,
        )
    }
  })

  test("says the record's own values, whatever the last one of the same key, model and limit said", () => {
    const texts = Object.entries(RECORD_COLUMNS).flatMap(([column, { read }]) => (read === "text" ? [column] : []))
    for (const changed of [...texts.map((column) => ({ [column]: "other" })), { stream: false }]) {
      recordText(fullRecord())
      const record = { ...fullRecord(), ...changed } as UsageRecord
      expect(JSON.parse(recordText(record))).toEqual(changed.stream === false ? without(record, "stream") : record)
    }
    const charge = { limit_id: "l3", subject: "s", window: "w", amount: "12" }
    for (const changed of [{ subject: "other" }, { window: "other" }, { amount: "13" }, { organization_id: "other" }]) {
      recordText({ ...fullRecord(), charges: [charge] })
      const charges = [{ ...charge, ...changed }]
      expect(JSON.parse(recordText({ ...fullRecord(), charges })).charges).toEqual(charges)
    }
  })
})

function without(record: UsageRecord, column: keyof UsageRecord): Partial<UsageRecord> {
  const { [column]: _left, ...rest } = record
  return rest
}
