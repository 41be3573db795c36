/** Erasures that are broken off, that meet records on their way, and what counters in the process make of them. */

import { createHmac } from "node:crypto"
import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { createUser, updateUser } from "../../src/identity/user-registry.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { beginCustomer } from "../../src/privacy/erase-customer.ts"
import { Words } from "../../src/privacy/erase-texts.ts"
import { beginUser } from "../../src/privacy/erase-user.ts"
import { Erasure } from "../../src/privacy/erasure.ts"
import { hmacOf, newErasureKey } from "../../src/privacy/erasure-list.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { tablesHolding } from "../support/searched.ts"

const ACTOR = { name: "adm_tester", ip: "192.0.2.7" }
const mintId = uuidv7Mint()
let sql: Sql

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await sql`INSERT INTO organizations (id, name) VALUES ('org_a', 'a')`
  await ensurePartitions(sql, Date.now(), Date.now())
})
afterAll(() => sql.end())

const erasure = () =>
  new Erasure({
    sql,
    log: pino({ level: "silent" }),
    changed: async () => undefined,
    renameCounters: async () => undefined,
  })

function recordsOf(end_customer: string, count: number) {
  return Array.from({ length: count }, (_, index) => ({
    seq: index + 1,
    body: JSON.stringify(
      sampleRecord({
        end_customer,
        time: new Date().toISOString(),
        charges: [{ limit_id: "lim", subject: `org_a ${end_customer}`, window: "2026-11", amount: "1" }],
      }),
    ),
  }))
}

test("the list's digests are HMAC-SHA-256, which Postgres makes in the same way", async () => {
  const key = newErasureKey()
  const secret = Buffer.from(key.inner, "hex").map((byte) => byte ^ 0x36)
  expect(hmacOf(key, "größe 🦊")).toBe(createHmac("sha256", secret).update("größe 🦊").digest("hex"))
  const [row] = await sql`
    SELECT encode(sha256(decode(${key.outer}, 'hex') || sha256(decode(${key.inner}, 'hex') || convert_to('größe 🦊', 'UTF8'))), 'hex') AS hmac`
  expect(row?.hmac).toBe(hmacOf(key, "größe 🦊"))
})

test("records that come in while their end-customer is being erased come in under the pseudonym, each charge counted once", async () => {
  const name = "racing@customer.example"
  const writers = Array.from({ length: 4 }, async () => {
    for (let batch = 0; batch < 6; batch++) await ingest(sql, mintId(Date.now()), recordsOf(name, 5))
  })
  const [{ pseudonym }] = await Promise.all([
    erasure().eraseCustomer(ACTOR, { organizationId: "org_a", value: name }),
    ...writers,
  ])
  expect(await tablesHolding(sql, [name])).toEqual([])
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM usage_records WHERE end_customer = ${pseudonym}) AS records,
           (SELECT settled::int FROM limit_usage WHERE subject = ${`org_a ${pseudonym}`}) AS settled`
  expect(row).toEqual({ records: 120, settled: 120 })
})

test("an erasure that was broken off is finished by whoever looks next, and says by whom it was asked for", async () => {
  const name = "half@customer.example"
  await ingest(sql, mintId(Date.now()), recordsOf(name, 3))
  const made = await createUser(sql, ACTOR, {
    organizationId: "org_a",
    kind: "person",
    name: "Half Gone",
    email: "half@user.example",
    projectIds: [],
  })
  const userId = made.kind === "done" ? made.row.id : ""
  const { pseudonym } = await beginCustomer(sql, ACTOR, { organizationId: "org_a", value: name })
  await beginUser(sql, ACTOR, userId)
  const words = [name, "Half Gone", "half@user.example"]
  expect(await tablesHolding(sql, words)).toContain("audit_log")
  await Promise.all([erasure().carryOn(), erasure().carryOn()])
  expect(await tablesHolding(sql, words)).toEqual([])
  const rows =
    await sql`SELECT actor, action FROM audit_log WHERE subject IN (${pseudonym}, ${userId}) AND action LIKE '%.erased' ORDER BY action`
  expect(rows.map((row) => ({ ...row }))).toEqual([
    { actor: ACTOR.name, action: "end_customer.erased" },
    { actor: ACTOR.name, action: "user.erased" },
  ])
})

test("the audit log lets an erasure take values out, and nothing else be changed", async () => {
  await expect(sql`UPDATE audit_log SET after = '{}'`).rejects.toThrow(/append-only/)
  const asErasure = (change: string) =>
    sql.begin(async (transaction) => {
      await transaction`SELECT set_config('tallygate.erasure', 'on', true)`
      await transaction.unsafe(`UPDATE audit_log SET ${change}`)
    })
  for (const change of [
    "actor = 'x'",
    "action = 'x'",
    "at = now()",
    "after = '{}'",
    "ip = '198.51.100.1'",
    "subject = ''",
  ]) {
    await expect(asErasure(change), change).rejects.toThrow(/append-only/)
  }
  await expect(sql`DELETE FROM audit_log`).rejects.toThrow(/append-only/)
})

test("a counter in the process goes on under the pseudonym, with what calls that run hold on it", async () => {
  const store = new MemoryLimitStore(Date.now)
  const limit = {
    id: "lim",
    organizationId: "org_a",
    scope: "organization",
    subject: "org_a a|b",
    kind: "requests",
    window: "month",
    cap: 3n,
    each: "end_customer",
    enforcement: "hard",
  }
  const charge = (subject: string) =>
    ({ limit: { ...limit, subject }, window: "2026-11", resetsAtMs: null, amount: 1n }) as never
  await store.reserve(mintId(Date.now()), "p", 60_000, [charge("org_a a|b")])
  const held = mintId(Date.now())
  await store.reserve(held, "p", 60_000, [charge("org_a a|b")])
  store.rename("a|b", "erased-x")
  expect(await store.read([charge("org_a erased-x")])).toMatchObject([{ held: 2n }])
  expect(await store.settle(held, [charge("org_a a|b")])).toBe("settled")
  expect(await store.read([charge("org_a erased-x"), charge("org_a a|b")])).toMatchObject([
    { settled: 1n, held: 1n },
    { settled: 0n },
  ])
})

test("a name that was changed is found as well, and a name that is a word leaves others' audit rows as they were", async () => {
  const wanted = {
    organizationId: "org_a",
    kind: "person",
    name: "Maiden Name",
    email: "maiden@user.example",
    projectIds: [],
  } as const
  const made = await createUser(sql, ACTOR, wanted)
  const id = made.kind === "done" ? made.row.id : ""
  await updateUser(sql, ACTOR, id, { name: "admin", externalId: "1001" })
  const facts = JSON.stringify({ title: "User Maiden Name has used 80 %" })
  await sql`
    INSERT INTO alerts (organization_id, limit_id, subject, window_id, threshold_percent, settled, cap, facts)
    VALUES ('org_a', 'l', ${id}, '2026-11', 50, 1, 2, ${facts}::text::jsonb)`
  const other = { role: "admin", cap: "1001", seen_by: "maiden@user.example" }
  await sql`
    INSERT INTO audit_log (id, organization_id, actor, action, subject, after)
    VALUES ('aud_other', 'org_a', 'x', 'role.grant', 'user_other', ${JSON.stringify(other)}::text::jsonb)`
  expect(await erasure().eraseUser(ACTOR, id)).toMatchObject({ isDone: true })
  expect(await tablesHolding(sql, ["Maiden Name", "maiden@user.example"])).toEqual([])
  const [row] = await sql`SELECT after FROM audit_log WHERE id = 'aud_other'`
  expect(row?.after).toEqual({ ...other, seen_by: "erased" })
})

test("texts lose a name in every form, and keep words that only contain it", () => {
  const words = new Words(["Ada King", "a b@c.de", "x1"], "erased")
  expect(
    words.outOf({ title: "User ada king has used 80 %", list: ["/u?end_customer=a+b%40c.de", "a%20b@c.de"], n: 1 }),
  ).toEqual({
    title: "User erased has used 80 %",
    list: ["/u?end_customer=erased", "erased"],
    n: 1,
  })
  const untouched = { title: "Adaking, x1 and xAda Kingdom" }
  expect(words.outOf(untouched)).toBe(untouched)
})
