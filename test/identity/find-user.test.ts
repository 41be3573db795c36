import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { findUser } from "../../src/identity/find-user.ts"
import { defaultOrganization, firstRun, install } from "../../src/identity/first-run.ts"
import { createVirtualKey, revokeVirtualKey } from "../../src/identity/key-registry.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { readVirtualKey, readVirtualKeyById } from "../../src/identity/read-virtual-key.ts"
import { secretDigest } from "../../src/identity/secret.ts"
import { createUser } from "../../src/identity/user-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "test", ip: "" }
let sql: Sql
let organizationId: string

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 2, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  await firstRun(sql, { isAdminKeyGiven: true })
  organizationId = await defaultOrganization(sql)
})
afterAll(() => sql?.end())

async function newUser(name: string, email: string): Promise<string> {
  const made = await createUser(sql, ACTOR, { organizationId, kind: "person", name, email, projectIds: [] })
  if (made.kind !== "done") throw new Error(made.kind)
  return made.row.id
}

async function limit(scope: "organization" | "user", subject: string, cap: bigint): Promise<void> {
  const limited = { organizationId, scope, subject }
  const made = await createLimit(sql, ACTOR, limited, { kind: "requests", window: "day", cap })
  if (made.kind !== "created") throw new Error(made.kind)
}

test("a user is found by id and by e-mail address in any case, with its own limits in their order", async () => {
  const id = await newUser("Ada", "Ada@example.com")
  await limit("user", id, 5n)
  await limit("user", id, 3n)
  await limit("organization", organizationId, 1n)
  const ada = {
    id,
    limits: [
      { scope: "user", subject: id, cap: 5n },
      { scope: "user", subject: id, cap: 3n },
    ],
  }
  for (const named of [id, "Ada@example.com", "ada@EXAMPLE.com"]) {
    expect(await findUser(sql, organizationId, named)).toMatchObject(ada)
  }
})

test("nobody is found by a name, by no e-mail address, by a pattern, by half of an id or in another organization", async () => {
  const id = await newUser("Grace", "")
  await newUser("Alan", "alan@example.com")
  for (const named of ["Grace", "", " ", "%", "alan@%", id.slice(0, -1), id.toUpperCase()]) {
    expect(await findUser(sql, organizationId, named), named).toBeNull()
  }
  expect(await findUser(sql, organizationId, id)).toEqual({ id, limits: [] })
  expect(await findUser(sql, "org_other", id)).toBeNull()
  expect(await findUser(sql, "org_other", "alan@example.com")).toBeNull()
})

test("a key is the same by its id as by its secret, also when it is revoked", async () => {
  const wanted = {
    name: "k",
    organizationId,
    projectId: null,
    userId: null,
    ipAllow: ["10.0.0.0/8"],
    caps: { outputTokensMax: 7 },
    limits: [{ kind: "requests", window: "day", cap: 9n } as const],
  }
  const created = await createVirtualKey(sql, ACTOR, wanted)
  if (created.kind !== "created") throw new Error(created.kind)
  const { id } = created.row
  expect(await readVirtualKeyById(sql, id)).toMatchObject({ id, ipAllow: ["10.0.0.0/8"], caps: { outputTokensMax: 7 } })
  const now = new Date(Date.UTC(2026, 10, 23))
  await revokeVirtualKey(sql, ACTOR, id, now)
  const byId = await readVirtualKeyById(sql, id)
  expect(byId).toMatchObject({ id, revokedAtMs: now.getTime() })
  expect(byId).toEqual(await readVirtualKey(sql, secretDigest(created.secret)))
  expect(await readVirtualKeyById(sql, "key_none")).toBeNull()
})
