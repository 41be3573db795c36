import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { pino } from "pino"
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest"
import type { ProviderObject, Sharing } from "../../src/identity/provider-object.ts"
import { NotEntered, ProviderObjects } from "../../src/identity/provider-objects.ts"
import type { VirtualKey } from "../../src/identity/virtual-key.ts"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { sampleKey } from "../support/sample-key.ts"

const CALL_ID = "0190a5b2-7c3e-7f00-8000-000000000001"
let made = 0

/** A new object, of the key `key_a` unless told otherwise. */
function newObject(given: Partial<ProviderObject> = {}): ProviderObject {
  return {
    provider: "openai",
    account: "default",
    id: `file-${++made}`,
    kind: "file",
    organizationId: "org_1",
    projectId: "proj_1",
    keyId: "key_a",
    callId: CALL_ID,
    booking: null,
    bookedAtMs: null,
    ...given,
  }
}

function key(id: string, projectId = "proj_1", organizationId = "org_1"): VirtualKey {
  return sampleKey({ id, projectId, organizationId })
}

describe.each(["a Postgres server", "the embedded Postgres"])("provider objects on %s", (where) => {
  let folder: string
  let embedded: EmbeddedPostgres | null = null
  let databaseUrl: string
  let sql: Sql
  const registers: ProviderObjects[] = []

  const open = (url = databaseUrl) => openPostgres(url, { max: 2, applicationName: "test" })

  function openRegister(openSql: () => Sql = open, trustedMs = 60_000): ProviderObjects {
    const options = { openPostgres: openSql, log: pino({ level: "silent" }), objectsMax: 20_000, trustedMs }
    const register = new ProviderObjects(options)
    register.start()
    registers.push(register)
    return register
  }

  /** A register in front of a Postgres that can go away and come back. */
  function openLossy(trustedMs?: number) {
    const pools: Sql[] = []
    const lossy = { isAway: false }
    const register = openRegister(() => {
      const url = new URL(databaseUrl)
      // Nobody listens on port 1.
      if (lossy.isAway) url.port = "1"
      const pool = open(url.href)
      pools.push(pool)
      return pool
    }, trustedMs)
    const goAway = async () => {
      lossy.isAway = true
      await pools.at(-1)?.end({ timeout: 0 })
    }
    return { register, lossy, goAway }
  }

  const rowsOf = (...ids: string[]) =>
    sql<{ id: string; key_id: string }[]>`SELECT id, key_id FROM provider_objects WHERE id = ANY(${ids}) ORDER BY id`

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "tallygate-objects-"))
    if (where === "the embedded Postgres") embedded = await startEmbeddedPostgres({ dataDir: folder })
    databaseUrl = embedded?.url ?? (await createDatabase(inject("postgresUrl")))
    sql = open()
    await migrate(sql, "migrations", { codeVersion: "test" })
  })
  afterEach(() => Promise.all(registers.splice(0).map((register) => register.stop())))
  afterAll(async () => {
    await sql?.end()
    await embedded?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  test("an object is known here at once, entered once, and found by another process as it was entered", async () => {
    const register = openRegister()
    const object = newObject({ kind: "batch", booking: { model: 'a "b" {c}, \\', lines: [1, null] } })
    const entering = register.register(object)
    expect((await register.find("openai", [object.id])).get(object.id)).toEqual(object)
    await entering
    await register.register(object)
    expect(await rowsOf(object.id)).toHaveLength(1)
    const found = await openRegister().find("openai", [object.id, "file-none", object.id])
    expect([...found]).toEqual([[object.id, object]])
    expect((await openRegister().find("azure", [object.id])).size).toBe(0)
  })

  test("ids of any text are entered and found, and what no id can be is not asked for", async () => {
    const ids = ['a "b"', "{c,d}", "e\\f", "NULL", "ü✓", "files/x'y"].map((id) => `${id} ${++made}`)
    await Promise.all(ids.map((id) => openRegister().register(newObject({ id, callId: null }))))
    const found = await openRegister().find("openai", [...ids, "", "a\0b", "x".repeat(2_000)])
    expect([...found.keys()].sort()).toEqual([...ids].sort())
  })

  test.each<[Sharing, string[]]>([
    ["key", ["own"]],
    ["project", ["own", "project"]],
    ["organization", ["organization", "own", "project"]],
  ])("shared within the %s, a key reaches what belongs to it and no more", async (sharing, reached) => {
    const tag = ++made
    const writer = openRegister()
    const of = (name: string, owner: Partial<ProviderObject>) => newObject({ id: `${name} ${tag}`, ...owner })
    await Promise.all([
      writer.register(of("own", {})),
      writer.register(of("project", { keyId: "key_b" })),
      writer.register(of("organization", { keyId: "key_c", projectId: "proj_2" })),
      writer.register(of("foreign", { keyId: "key_d", organizationId: "org_2" })),
    ])
    const ids = ["own", "project", "organization", "foreign", "unknown"].map((name) => `${name} ${tag}`)
    for (const register of [writer, openRegister()]) {
      const owned = await register.owned(key("key_a"), sharing, "openai", ids)
      expect([...owned].sort()).toEqual(reached.map((name) => `${name} ${tag}`))
    }
  })

  test("five hundred at once take one statement, and a miss is asked for again each time", async () => {
    let asked = 0
    const apply = (target: Sql, self: unknown, args: Parameters<Sql>) => {
      asked++
      return Reflect.apply(target, self, args)
    }
    const register = openRegister(() => new Proxy(open(), { apply }))
    const objects = Array.from({ length: 500 }, () => newObject())
    await Promise.all(objects.map((object) => register.register(object)))
    expect(asked).toBe(1)
    expect(await rowsOf(...objects.map(({ id }) => id))).toHaveLength(500)
    const late = newObject()
    expect((await register.find("openai", [late.id, ...objects.map(({ id }) => id)])).size).toBe(500)
    await openRegister().register(late)
    expect((await register.find("openai", [late.id])).size).toBe(1)
    expect((await register.find("openai", [late.id])).size).toBe(1)
    expect(asked).toBe(3)
  })

  test("of two keys the first stands, whoever registers or adopts afterwards", async () => {
    const [one, other] = [openRegister(), openRegister()]
    const object = newObject()
    await one.register(object)
    const stolen = { ...object, keyId: "key_b" }
    expect(await other.adopt(stolen)).toMatchObject({ keyId: "key_a" })
    const third = openRegister()
    await third.register(stolen)
    expect((await third.find("openai", [object.id])).get(object.id)).toMatchObject({ keyId: "key_a" })
  })

  test("twenty that adopt one object at the same moment agree on whose it is", async () => {
    const both = [openRegister(), openRegister()]
    const { id } = newObject()
    const adopting = Array.from({ length: 20 }, (_, at) =>
      (both[at % 2] as ProviderObjects).adopt(newObject({ id, keyId: `key_${at}`, callId: null })),
    )
    const owners = new Set((await Promise.all(adopting)).map(({ keyId }) => keyId))
    expect([...owners]).toEqual((await rowsOf(id)).map(({ key_id }) => key_id))
  })

  test("of twenty that want to book, in two processes, one may; and everybody sees that it is booked", async () => {
    const both = [openRegister(), openRegister()]
    const object = newObject({ kind: "response", booking: { model: "m" } })
    expect(await both[0]?.takeBooking("openai", object.id)).toBe(false)
    // Not awaited: what is still being entered can be booked.
    void both[0]?.register(object)
    expect(await both[0]?.isBooked("openai", object.id)).toBe(false)
    await both[0]?.flush(5_000)
    await both[1]?.find("openai", [object.id])
    const racing = Array.from({ length: 20 }, (_, at) => both[at % 2]?.takeBooking("openai", object.id))
    expect((await Promise.all(racing)).filter((isMine) => isMine)).toHaveLength(1)
    for (const register of both) expect(await register.isBooked("openai", object.id)).toBe(true)
    const read = (await openRegister().find("openai", [object.id])).get(object.id)
    expect(read?.bookedAtMs).toBeGreaterThan(0)
  })

  test("a booking that is taken at once waits for its object to be entered", async () => {
    const register = openRegister()
    const object = newObject({ kind: "response", booking: {} })
    void register.register(object)
    expect(await register.takeBooking("openai", object.id)).toBe(true)
  })

  test("a deleted object is found no more, elsewhere once its entry has aged; its usage may still be booked", async () => {
    const [register, other, aging] = [openRegister(), openRegister(), openRegister(open, 0)]
    const object = newObject({ booking: {} })
    void register.register(object)
    await register.flush(5_000)
    for (const one of [other, aging]) expect((await one.find("openai", [object.id])).size).toBe(1)
    await register.forget("openai", object.id)
    for (const one of [register, aging, openRegister()]) expect((await one.find("openai", [object.id])).size).toBe(0)
    expect(await other.takeBooking("openai", object.id)).toBe(true)
  })

  test("a name that comes back after its deletion belongs to who brought it back", async () => {
    const register = openRegister()
    const object = newObject({ id: `files/mine-${++made}`, booking: {} })
    await register.register(object)
    await register.takeBooking("openai", object.id)
    await register.forget("openai", object.id)
    const again = { ...object, keyId: "key_b", booking: null }
    await openRegister().register(again)
    expect((await register.find("openai", [object.id])).get(object.id)).toEqual(again)
  })

  test("one object that Postgres refuses does not hold up the others", async () => {
    const register = openRegister()
    const bad = [newObject({ callId: "no uuid" }), newObject({ booking: { text: "a\0b" } })]
    const good = Array.from({ length: 20 }, () => newObject())
    const [first, second, ...rest] = [...bad, ...good].map((object) => register.register(object))
    await Promise.all(rest)
    for (const refused of [first, second]) await expect(refused).rejects.toBeInstanceOf(NotEntered)
    expect(await rowsOf(...good.map(({ id }) => id))).toHaveLength(20)
    expect([register.waiting, register.dropped]).toEqual([0, 2])
  })

  describe("while Postgres is away", () => {
    test("what is known goes on being known, what is not cannot be told, and new objects are entered later", async () => {
      const { register, lossy, goAway } = openLossy(0)
      const [old, unknown, young] = [newObject(), newObject(), newObject({ kind: "response", booking: {} })]
      await register.register(old)
      await goAway()
      const entering = register.register(young)
      expect(await register.flush(300)).toBe(1)
      const known = await register.find("openai", [old.id, young.id])
      expect([...known.keys()].sort()).toEqual([old.id, young.id].sort())
      await expect(register.find("openai", [old.id, unknown.id])).rejects.toThrow()
      await expect(register.takeBooking("openai", old.id)).rejects.toThrow()
      expect(await rowsOf(young.id)).toHaveLength(0)
      lossy.isAway = false
      await entering
      expect(await rowsOf(young.id)).toHaveLength(1)
      expect(await register.takeBooking("openai", young.id)).toBe(true)
    })

    test("ten thousand wait; the newest beyond them are dropped and counted, and a stop loses what waits", async () => {
      const { register, lossy, goAway } = openLossy()
      await register.register(newObject())
      await goAway()
      const objects = Array.from({ length: 10_003 }, () => newObject())
      const entering = objects.map((object) => register.register(object))
      expect([register.waiting, register.dropped]).toEqual([10_000, 3])
      await expect(entering.at(-1)).rejects.toBeInstanceOf(NotEntered)
      lossy.isAway = false
      expect(await register.flush(20_000)).toBe(0)
      const [first, kept, dropped] = [objects[0], objects[9_999], objects[10_000]].map((object) => object?.id ?? "")
      expect((await rowsOf(first as string, kept as string, dropped as string)).map(({ id }) => id).sort()).toEqual(
        [first, kept].sort(),
      )
      await goAway()
      const lost = register.register(newObject())
      await register.stop()
      await expect(lost).rejects.toThrow("the proxy stops")
      await expect(register.register(newObject())).rejects.toThrow("the proxy stops")
    })
  })
})
