import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { createAdminKey, revokeAdminKey } from "../../src/identity/admin-key-registry.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import { createVirtualKey, revokeVirtualKey, rotateVirtualKey } from "../../src/identity/key-registry.ts"
import { readSession } from "../../src/identity/read-session.ts"
import { grantRole, revokeRole } from "../../src/identity/role-registry.ts"
import { csrfTokenOf, endSession, isCsrfTokenOf, openSession, type SessionOpener } from "../../src/identity/session.ts"
import { createUser, updateUser } from "../../src/identity/user-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { beginUser } from "../../src/privacy/erase-user.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "test", ip: "" }
const ENVIRONMENT_KEY = "admin-key-of-the-environment"
const HOUR_MS = 3_600_000

let sql: Sql
let organizationId: string
beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 4, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  organizationId = await defaultOrganization(sql)
})
afterAll(() => sql?.end())

const open = (opener: SessionOpener, now = new Date()) =>
  openSession(sql, opener, { ip: "192.0.2.1", now, hoursMax: 12 })
const read = (secret: string, options: { now?: Date; environmentKey?: string | null } = {}) =>
  readSession(sql, secret, { now: new Date(), environmentKey: ENVIRONMENT_KEY, ...options })

async function user() {
  const made = await createUser(sql, ACTOR, { organizationId, kind: "person", name: "Ada", projectIds: [] })
  if (made.kind !== "done") throw new Error(made.kind)
  return made.row
}
const ofUser = async (id: string) => open({ kind: "user", id, organizationId })

async function key() {
  const wanted = { name: "k", organizationId, projectId: null, userId: null, limits: [] }
  const made = await createVirtualKey(sql, ACTOR, wanted)
  if (made.kind !== "created") throw new Error(made.kind)
  return { id: made.row.id, secret: made.secret }
}

describe("a session", () => {
  test("is found by its secret alone, of which Postgres has the digest", async () => {
    const { id } = await user()
    const secret = await ofUser(id)
    expect(secret).toMatch(/^[\w-]{43}$/)
    expect(await read(secret)).toMatchObject({ holder: { kind: "user", id, organizationId, grants: [] } })
    for (const other of ["", "a", secret.slice(1), csrfTokenOf(secret)]) expect(await read(other)).toBeNull()
    const stored = JSON.stringify(await sql`SELECT s::text FROM sessions s`)
    expect(stored).not.toContain(secret)
    expect(stored).not.toContain(Buffer.from(secret, "base64url").toString("hex"))
  })
  test("ends after its hours, and the next log-in clears it away", async () => {
    const { id } = await user()
    const secret = await open({ kind: "user", id, organizationId }, new Date(Date.now() - 11.9 * HOUR_MS))
    expect(await read(secret)).not.toBeNull()
    const later = new Date(Date.now() + HOUR_MS)
    expect(await read(secret, { now: later })).toBeNull()
    await open({ kind: "user", id, organizationId }, later)
    expect(await sql`SELECT 1 FROM sessions WHERE expires_at <= ${later}`).toEqual([])
  })
  test("ends by log-out, once", async () => {
    const secret = await ofUser((await user()).id)
    expect(await endSession(sql, secret)).toBe(true)
    expect(await endSession(sql, secret)).toBe(false)
    expect(await read(secret)).toBeNull()
  })
  test.each([
    ["disabled", (id: string) => updateUser(sql, ACTOR, id, { isDisabled: true })],
    ["erased", (id: string) => beginUser(sql, ACTOR, id)],
    ["given a role", (id: string) => grantRole(sql, ACTOR, { id, organization_id: organizationId }, VIEWER)],
  ])("ends where its user is %s", async (_what, act) => {
    const { id } = await user()
    const [one, other] = [await ofUser(id), await ofUser(id)]
    await act(id)
    expect([await read(one), await read(other)]).toEqual([null, null])
  })
  test("ends where its user loses a role, and no one else's does", async () => {
    const [one, other] = [await user(), await user()]
    await grantRole(sql, ACTOR, one, VIEWER)
    const [ended, going] = [await ofUser(one.id), await ofUser(other.id)]
    expect(await read(ended)).toMatchObject({ holder: { grants: [VIEWER] } })
    await revokeRole(sql, ACTOR, one, VIEWER)
    expect(await read(ended)).toBeNull()
    expect(await read(going)).not.toBeNull()
  })
  test("of an admin key ends with it: revoked or expired", async () => {
    const expiresAt = new Date(Date.now() + HOUR_MS)
    const { row } = await createAdminKey(sql, ACTOR, { name: "k", ...VIEWER, expiresAt })
    const opener = { kind: "admin_key", id: row.id, organizationId: "" } as const
    const secret = await open(opener)
    expect(await read(secret)).toMatchObject({ holder: { kind: "admin_key", id: row.id, grant: VIEWER } })
    expect(await read(secret, { now: new Date(Date.now() + 2 * HOUR_MS) })).toBeNull()
    await revokeAdminKey(sql, ACTOR, row.id)
    expect(await read(secret)).toBeNull()
  })
  test("of the environment's key ends when that key changes or goes, and does not let it be guessed", async () => {
    const secret = await open({ kind: "environment", secret: ENVIRONMENT_KEY })
    const other = await open({ kind: "environment", secret: ENVIRONMENT_KEY })
    expect(await read(secret)).toMatchObject({ holder: { kind: "environment" } })
    for (const environmentKey of ["another-key", null]) expect(await read(secret, { environmentKey })).toBeNull()
    const macs = await sql<
      { mac: string }[]
    >`SELECT encode(environment_mac, 'hex') AS mac FROM sessions WHERE environment_mac IS NOT NULL`
    expect(new Set(macs.map(({ mac }) => mac)).size).toBe(2)
    expect(await read(other)).not.toBeNull()
  })
  test("of a virtual key ends with the secret that opened it: revoked, or rotated, after the overlap", async () => {
    const [revoked, rotated, overlapping] = [await key(), await key(), await key()]
    const opened = (of: { id: string; secret: string }) => open({ kind: "key", organizationId, ...of })
    const secrets = [await opened(revoked), await opened(rotated), await opened(overlapping)] as const
    expect(await read(secrets[0])).toMatchObject({ holder: { kind: "key", key: { id: revoked.id } } })
    const now = new Date()
    await revokeVirtualKey(sql, ACTOR, revoked.id, now)
    await rotateVirtualKey(sql, ACTOR, rotated.id, { now, overlapMs: 0 })
    await rotateVirtualKey(sql, ACTOR, overlapping.id, { now, overlapMs: HOUR_MS })
    expect(await read(secrets[0])).toBeNull()
    expect(await read(secrets[1])).toBeNull()
    expect(await read(secrets[2])).not.toBeNull()
    expect(await read(secrets[2], { now: new Date(now.getTime() + HOUR_MS + 1) })).toBeNull()
  })
  test("is written down with whose it is, and without its secret", async () => {
    const { id } = await user()
    const secret = await ofUser(id)
    const rows =
      await sql`SELECT actor, ip, action, subject, organization_id FROM audit_log WHERE subject = ${id} AND action = 'session.open'`
    expect(rows).toEqual([
      { actor: id, ip: "192.0.2.1", action: "session.open", subject: id, organization_id: organizationId },
    ])
    expect(JSON.stringify(await sql`SELECT a::text FROM audit_log a`)).not.toContain(secret)
  })
})

const VIEWER = { role: "viewer", scope: "installation", scopeId: "" } as const

test("the token of a page is of one session, and is not the session's secret", () => {
  const [one, other] = ["a".repeat(43), "b".repeat(43)]
  expect(isCsrfTokenOf(one, csrfTokenOf(one))).toBe(true)
  for (const wrong of ["", one, csrfTokenOf(other), `${csrfTokenOf(one)}x`])
    expect(isCsrfTokenOf(one, wrong)).toBe(false)
})
