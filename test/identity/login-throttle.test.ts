import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { type Attempt, attempted, networkOf, succeeded } from "../../src/identity/login-throttle.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

const OF_ACCOUNT_FREE = 5
const OF_ADDRESS_FREE = 30

let sql: Sql
beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 10, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
})
beforeEach(async () => {
  await sql`DELETE FROM login_failures`
})
afterAll(() => sql?.end())

const ada = (ip = "192.0.2.1"): Attempt => ({ account: "ada@example.com", ip })
const guess = async (attempt: Attempt) => (await attempted(sql, attempt)).kind
const pass = (seconds: number) => sql`UPDATE login_failures SET last_at = last_at - make_interval(secs => ${seconds})`

async function guesses(count: number, attemptOf: (index: number) => Attempt): Promise<string[]> {
  const kinds: string[] = []
  for (let index = 0; index < count; index++) kinds.push(await guess(attemptOf(index)))
  return kinds
}

describe("guesses at an account", () => {
  test("are free a few times, from wherever they come; then the wait doubles up to a minute, and never ends for good", async () => {
    const elsewhere = (index: number) => ada(`192.0.2.${index}`)
    expect(new Set(await guesses(OF_ACCOUNT_FREE, elsewhere))).toEqual(new Set(["allowed"]))
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      expect(await attempted(sql, ada("198.51.100.1"))).toEqual({ kind: "refused", retryAfterSeconds: seconds })
      await pass(seconds)
      expect(await guess(ada("198.51.100.2"))).toBe("allowed")
    }
  })
  test("that are refused count on neither side", async () => {
    await guesses(OF_ACCOUNT_FREE, (index) => ada(`192.0.2.${index}`))
    await guesses(3, () => ada("203.0.113.9"))
    expect(await sql`SELECT failures FROM login_failures WHERE subject = 'address 203.0.113.9'`).toEqual([])
  })
  test("begin anew after the right one, whose address keeps its other failures", async () => {
    await guesses(4, () => ada())
    expect(await guess(ada())).toBe("allowed")
    await succeeded(sql, ada())
    const rows = await sql`SELECT subject, failures FROM login_failures`
    expect(rows).toEqual([{ subject: "address 192.0.2.1", failures: 4 }])
  })
  test("are the same account in whatever case, and what was typed is not stored", async () => {
    await guesses(OF_ACCOUNT_FREE, () => ({ account: "Ada@Example.com", ip: "192.0.2.1" }))
    expect(await guess(ada("192.0.2.2"))).toBe("refused")
    const rows = await sql<{ subject: string }[]>`SELECT subject FROM login_failures`
    expect(rows.map(({ subject }) => subject).join(" ")).not.toMatch(/ada/i)
  })
  test("a hundred at once are no more than are free", async () => {
    const kinds = await Promise.all(Array.from({ length: 100 }, (_, index) => guess(ada(`10.0.0.${index}`))))
    expect(kinds.filter((kind) => kind === "allowed")).toHaveLength(OF_ACCOUNT_FREE)
  })
})

describe("guesses from an address", () => {
  const stranger = (index: number): Attempt => ({ account: `user${index}@example.com`, ip: "2001:db8::1" })
  test("are free longer, at whatever accounts; an IPv6 network counts as one", async () => {
    expect(new Set(await guesses(OF_ADDRESS_FREE, stranger))).toEqual(new Set(["allowed"]))
    expect(await guess({ account: null, ip: "2001:db8::ffff:1" })).toBe("refused")
    expect(await guess({ account: null, ip: "2001:db8:0:1::1" })).toBe("allowed")
  })
  test("are forgotten after an hour without one", async () => {
    await guesses(OF_ADDRESS_FREE, stranger)
    await pass(3_601)
    expect(await guess(stranger(99))).toBe("allowed")
    expect(await sql`SELECT subject FROM login_failures WHERE failures > 1`).toEqual([])
  })
})

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::1", "0:0:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["", ""],
])("%s is of the network %s", (ip, network) => {
  expect(networkOf(ip)).toBe(network)
})
