import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { readArray } from "../../src/platform/postgres-arrays.ts"

let sql: Sql
beforeAll(() => {
  sql = openPostgres(inject("postgresUrl"), { max: 2, applicationName: "test" })
})
afterAll(() => sql?.end())

// What Postgres takes in a text at all.
const texts = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0") && text.isWellFormed())
const nasty = fc.constantFrom("", "NULL", "null", '"', "\\", "{", "}", ",", "a,b", " ", "\n", "{a}", 'x"y\\z')

describe("arrays", () => {
  test("of any texts come back from a real server as they went", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(fc.oneof(texts, nasty))), async (values) => {
        const [row] = await sql<{ values: (string | null)[]; count: number }[]>`
          SELECT v AS values, cardinality(v) AS count FROM (SELECT ${values}::text[] AS v) AS sent`
        expect(row).toEqual({ values, count: values.length })
      }),
      { numRuns: 200 },
    )
  })
  test("of every other kind are read as single values are", async () => {
    const at = new Date("2026-11-24T12:00:00.123Z")
    const [row] = await sql`
      SELECT ARRAY[true, false] AS bools, ${[1, -2]}::int4[] AS int4s, ${["9007199254740993"]}::int8[] AS int8s,
             ${["1.10", "NaN"]}::numeric[] AS numerics, ${[1.5]}::float8[] AS float8s, ARRAY[${at}::timestamptz] AS times,
             ${["0198c1f0-0000-7000-8000-000000000001"]}::uuid[] AS uuids, ARRAY['\\x00ff'::bytea] AS byteas,
             ARRAY['{"a": [1]}'::jsonb, NULL] AS jsonbs, ARRAY[]::text[] AS none, NULL::text[] AS nothing`
    expect(row).toEqual({
      bools: [true, false],
      int4s: [1, -2],
      int8s: ["9007199254740993"],
      numerics: ["1.10", "NaN"],
      float8s: [1.5],
      times: [at],
      uuids: ["0198c1f0-0000-7000-8000-000000000001"],
      byteas: [Buffer.from([0, 255])],
      jsonbs: [{ a: [1] }, null],
      none: [],
      nothing: null,
    })
  })
  test("within arrays are refused on both ways, not mangled", async () => {
    await expect(sql`SELECT ${[["a"]]}::text[]`).rejects.toThrow("Arrays within arrays")
    expect(() => readArray("{{a},{b}}", String)).toThrow(RangeError)
  })
})

test("a new connection asks the server nothing by itself, so that a cut leaves nothing unawaited", () => {
  expect((sql.options as unknown as { fetch_types: boolean }).fetch_types).toBe(false)
})
