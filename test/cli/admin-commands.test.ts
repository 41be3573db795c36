/** `tallygate keys`, `users` and `usage` against a running Tallygate: what they do there, and what they say when they cannot. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"
import { type Ran, tallygate } from "./run-command.ts"

let upstream: FakeUpstream
let app: TestApp

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
})
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

function ask(words: string[], env: Record<string, string | undefined> = {}): Promise<Ran> {
  return tallygate(words, { env: { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY, ...env } })
}

async function askJson(words: string[]) {
  const { exitCode, stdout, stderr } = await ask([...words, "--json"])
  expect([exitCode, stderr], words.join(" ") + stdout).toEqual([0, ""])
  return JSON.parse(stdout)
}

async function call(key: string, model = "fast"): Promise<number> {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "count me" }] }),
  })
  await response.text()
  return response.status
}

describe("a Tallygate that cannot be asked", () => {
  test.each([
    ["no admin key", { TALLYGATE_ADMIN_KEY: "" }, "TALLYGATE_ADMIN_KEY is not set. Put an admin key there"],
    ["a key with a line break", { TALLYGATE_ADMIN_KEY: "can\nary" }, "holds a space or a line break"],
    [
      "a key that is not one",
      { TALLYGATE_ADMIN_KEY: "canary-key-0123456789" },
      "TALLYGATE_ADMIN_KEY is refused: This admin key",
    ],
    [
      "no address",
      { TALLYGATE_URL: "localhost:8787" },
      "TALLYGATE_URL must be an address such as http://127.0.0.1:8787",
    ],
    ["an address with a password", { TALLYGATE_URL: "http://u:canary@h" }, "without user and query"],
  ])("%s is told with the next step", async (_, env, reason) => {
    const { exitCode, stdout, stderr } = await ask(["keys", "list"], env)
    expect([exitCode, stdout]).toEqual([1, ""])
    expect(stderr).toContain(reason)
    expect(stderr).not.toContain("canary")
  })

  test("nothing that listens is told with how to start it", async () => {
    const { exitCode, stderr } = await ask(["users", "list"], { TALLYGATE_URL: `http://127.0.0.1:${await freePort()}` })
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(
      /nothing answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)\. Start Tallygate with `tallygate serve`/,
    )
  })

  test("something else that listens there is not taken for one, and is not followed elsewhere with the key", async () => {
    const seen: string[] = []
    const other: Server = createServer(({ url = "" }, response) => {
      seen.push(url)
      if (url.includes("/users")) response.writeHead(307, { location: "/elsewhere" }).end()
      else response.writeHead(url.includes("/keys") ? 200 : 502).end("<html>")
    })
    await new Promise<void>((resolve) => void other.listen(0, "127.0.0.1", resolve))
    const TALLYGATE_URL = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    try {
      expect((await ask(["keys", "list"], { TALLYGATE_URL })).stderr).toContain("is it a Tallygate?")
      expect((await ask(["usage"], { TALLYGATE_URL })).stderr).toContain("answers 502; is it a Tallygate?")
      expect((await ask(["users", "list"], { TALLYGATE_URL })).exitCode).toBe(1)
      expect(seen).not.toContain("/elsewhere")
    } finally {
      other.close()
    }
  })

  test("what the admin API refuses is told in its own words, as JSON to programs", async () => {
    const { exitCode, stdout } = await ask(["keys", "revoke", "key_nowhere", "--json"])
    expect([exitCode, JSON.parse(stdout)]).toEqual([1, { kind: "failed", reason: "There is no key `key_nowhere`." }])
    const wrong = await ask(["keys", "create", "x", "--limit", "usd:month:0.0000000001"])
    expect([wrong.exitCode, wrong.stdout]).toEqual([1, ""])
    expect(wrong.stderr).toContain("limits.0.cap: must have at most 9 decimals")
  })
})

describe("tallygate keys", () => {
  test.each([["usd:month"], ["usd:month:-1"], ["usd=month=1"], ["usd:month:1e3"]])(
    "a limit %s is wrong usage",
    async (limit) => {
      const { exitCode, stderr } = await ask(["keys", "create", "x", "--limit", limit])
      expect(exitCode).toBe(2)
      expect(stderr).toContain("--limit takes KIND:WINDOW:CAP such as usd:month:200.00")
    },
  )

  test("a key is made with what was said of it, works, and its secret is shown that once", async () => {
    const { body: user } = await app.admin("POST", "/admin/v1/users", { name: "Ada" })
    const words = ["keys", "create", "search team", "--user", user.id, "--model", "fast", "--model", "gpt-*"]
    words.push("--limit", "usd:month:200.10", "--limit", "requests:minute:600", "--tag", "eu", "--ip", "127.0.0.0/8")
    words.push("--max-cost", "0.50", "--endpoint", "chat.completions", "--expires", "2099-01-01")
    const made = await askJson(words)
    expect(made).toMatchObject({
      name: "search team",
      user_id: user.id,
      allowed_models: ["fast", "gpt-*"],
      allowed_endpoints: ["chat.completions"],
      ip_allow: ["127.0.0.0/8"],
      tags: ["eu"],
      max_cost_usd: "0.5",
      expires_at: "2099-01-01T00:00:00.000Z",
      limits: [
        { kind: "usd", window: "month", cap: "200.1" },
        { kind: "requests", window: "minute", cap: "600" },
      ],
    })
    expect(await call(made.key)).toBe(200)
    expect(await call(made.key, "o3")).toBe(403)
    const listed = await ask(["keys", "list", "--user", user.id])
    expect(listed.stdout).toContain(made.id)
    expect(listed.stdout).toContain("until 2099-01-01T00:00:00.000Z  usd:month:200.1 requests:minute:600")
    expect(listed.stdout).not.toContain(made.key)
    expect((await askJson(["keys", "list"])).data.length).toBeGreaterThanOrEqual(1)
    expect((await ask(["keys", "list", "--user", "user_none"])).stdout).toBe("There is no key.\n")
  })

  test("the lines to paste are printed with the key", async () => {
    const { exitCode, stdout } = await ask(["keys", "create", "pasted"])
    expect(exitCode).toBe(0)
    const [, key = ""] = /^Virtual key {3}(\S+)$/m.exec(stdout) ?? []
    expect(stdout).toContain(`export OPENAI_BASE_URL=${app.url}/v1 OPENAI_API_KEY=${key}\n`)
    expect(await call(key)).toBe(200)
  })

  test("a rotated key works by its new secret, and by the old one for as long as was said", async () => {
    const { id, key: first } = await app.createKey()
    const atOnce = await ask(["keys", "rotate", id])
    const [, second = ""] = /^Virtual key {3}(\S+)$/m.exec(atOnce.stdout) ?? []
    expect(atOnce.stdout).toMatch(/\nThe old secret is refused from now on\.\n$/)
    expect([await call(first), await call(second)]).toEqual([401, 200])
    const later = await ask(["keys", "rotate", id, "--overlap", "1h"])
    const [, third = ""] = /^Virtual key {3}(\S+)$/m.exec(later.stdout) ?? []
    expect(later.stdout).toMatch(/\nThe old secret works until \d{4}-\S+Z\.\n$/)
    expect([await call(second), await call(third)]).toEqual([200, 200])
    const { exitCode, stderr } = await ask(["keys", "rotate", id, "--overlap", "3 days"])
    expect(exitCode).toBe(2)
    expect(stderr).toContain("--overlap takes a time span such as 30m, 12h, 7d or 4w")
  })

  test("a revoked key is refused, and is listed as revoked", async () => {
    const { id, key } = await app.createKey({ name: "leaked" })
    expect(await ask(["keys", "revoke", id])).toMatchObject({ exitCode: 0, stdout: `Key ${id} (leaked) is revoked.\n` })
    expect(await call(key)).toBe(401)
    const { data } = await askJson(["keys", "list"])
    expect(data.find((one: { id: string }) => one.id === id).revoked_at).toEqual(expect.any(String))
    expect((await ask(["keys", "list"])).stdout).toMatch(new RegExp(`${id} +leaked .* revoked `))
  })
})

describe("tallygate users", () => {
  test("a user is made, disabled, which stops the user's keys, and enabled again", async () => {
    const made = await askJson(["users", "create", "Jo", "--email", "jo@example.com", "--external-id", "hr-7"])
    expect(made).toMatchObject({ name: "Jo", email: "jo@example.com", external_id: "hr-7", disabled_at: null })
    const { key } = await app.createKey({ user_id: made.id })
    expect(await call(key)).toBe(200)
    expect((await ask(["users", "disable", made.id])).stdout).toBe(`User ${made.id} (Jo) is disabled.\n`)
    expect(await call(key)).toBe(401)
    expect((await ask(["users", "list"])).stdout).toMatch(
      new RegExp(`${made.id} +Jo +jo@example\\.com +hr-7 +disabled since`),
    )
    expect((await ask(["users", "enable", made.id])).stdout).toBe(`User ${made.id} (Jo) is enabled.\n`)
    expect(await call(key)).toBe(200)
    const again = await ask(["users", "create", "Jo", "--email", "jo@example.com"])
    expect(again.exitCode).toBe(1)
    expect(again.stderr).toContain("already")
  })

  test("a list of more than a page is whole", async () => {
    const { length: before } = (await askJson(["users", "list"])).data
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    await sql`
      INSERT INTO users (id, organization_id, name)
      SELECT 'user_many_' || n, (SELECT id FROM organizations), 'one of many' FROM generate_series(1, 1001) AS n`
    await sql.end()
    expect((await askJson(["users", "list"])).data).toHaveLength(before + 1_001)
  })
})

describe("tallygate usage", () => {
  test.each([
    [["--since", "yesterday"], "--since takes a time span such as 12h, 7d or 4w, a date"],
    [["--until", "2026-02-30"], "--until takes a date such as 2026-03-13"],
    [["--json", "--csv"], "--json and --csv exclude one another"],
  ])("%j is wrong usage", async (words, reason) => {
    const { exitCode, stderr } = await ask(["usage", ...words])
    expect(exitCode).toBe(2)
    expect(stderr).toContain(reason)
  })

  test("rows and totals are the ledger's, as a table, JSON and CSV", async () => {
    const { key, id } = await app.createKey({ name: "counted" })
    for (const model of ["fast", "fast", "gpt-4o"]) expect(await call(key, model)).toBe(200)
    // By the key: what earlier tests called may still be on its way.
    await until(async () => {
      const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${id}`)).body
      return data.length === 3 || undefined
    })
    const found = await askJson(["usage", "--by", "key,model", "--since", "7d"])
    const own = found.data.filter((row: { key: string }) => row.key === id)
    expect(own).toHaveLength(2)
    const ledger = (await app.admin("GET", "/admin/v1/usage/summary?group_by=key,model")).body
    expect(found.totals).toEqual(ledger.totals)

    const [head, ...rows] = (await ask(["usage", "--by", "key,model", "--csv"])).stdout.trim().split("\r\n")
    expect(head).toMatch(/^key,model,records,/)
    expect(head?.split(",").toSorted()).toEqual(["key", "model", ...Object.keys(found.totals)].toSorted())
    const fast = own.find((row: { records: string }) => row.records === "2")
    expect(rows).toContainEqual(expect.stringMatching(new RegExp(`^${id},${fast.model},2,.*${fast.cost_usd}`)))

    const table = (await ask(["usage", "--by", "key,model"])).stdout.trimEnd().split("\n")
    expect(table[0]).toMatch(/^\S+Z until \S+Z$/)
    expect(table[1]).toMatch(
      /^ {2}key +model +calls +unpriced +input +cache read +cache 5m +cache 1h +output +cost in USD$/,
    )
    expect(table.at(-1)).toMatch(new RegExp(`^ {2}total .* ${String(ledger.totals.cost_usd).replace(".", "\\.")}$`))
    expect((await ask(["usage", "--csv"])).stdout.trim().split("\r\n")).toHaveLength(2)
  })

  test("a dimension that there is not is refused by the admin API with those that there are", async () => {
    const { exitCode, stderr } = await ask(["usage", "--by", "colour"])
    expect(exitCode).toBe(1)
    expect(stderr).toContain("model")
  })
})

describe("prices of a running Tallygate", () => {
  const catalog = path.join(import.meta.dirname, "../fixtures/prices/litellm.json")

  test("a catalog that is none, or that is not there, is told with its place; nobody is asked", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "tallygate-catalog-"))
    const broken = path.join(folder, "broken.json")
    writeFileSync(broken, '{\n  "m": {,}\n}')
    for (const [file, reason] of [
      ["nowhere.json", /the catalog .*nowhere\.json cannot be read/],
      [broken, /broken\.json is no JSON: .*line 2.*Nothing was imported/],
    ] as const) {
      const { exitCode, stderr } = await ask(["prices", "import", file], { TALLYGATE_URL: "http://127.0.0.1:1" })
      expect(exitCode).toBe(1)
      expect(stderr).toMatch(reason)
    }
    rmSync(folder, { recursive: true })
  })

  test("import names what it takes and what not, and what it takes is listed and explained", async () => {
    const organization = (await app.admin("POST", "/admin/v1/organizations", { name: "tenant" })).body.id
    const none = await ask(["prices", "list", "--live", "--organization", organization])
    expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("no such price is set there")])
    const only = ["--organization", organization]
    const dry = await ask(["prices", "import", catalog, "--dry-run", ...only])
    expect(dry.exitCode).toBe(0)
    expect(dry.stdout).toMatch(/^ {2}added +openai\/new-model +without file_search_cost_per_1k_calls$/m)
    expect(dry.stdout).toMatch(/^ {2}kept +openai\/gpt-4o-mini +it has another price/m)
    expect(dry.stdout).toMatch(/^ {2}skipped +replicate\/llama +nobody asks for prices of this provider here$/m)
    expect(dry.stdout.trimEnd().split("\n").at(-1)).toBe(
      "1 would be added, 0 would be replaced, 1 kept, 1 unchanged, 5 not taken",
    )
    expect(await askJson(["prices", "import", catalog, "--overwrite", ...only])).toMatchObject({
      added: 1,
      replaced: 1,
    })
    const { prices } = await askJson(["prices", "list", "--live", ...only])
    expect(prices.map(({ model }: { model: string }) => model).sort()).toEqual(["gpt-4o-mini", "new-model"])
    const table = await ask(["prices", "list", "--live", "--model", "new-*", ...only])
    expect(table.stdout).toMatch(new RegExp(`^ {2}prc_\\w+ +${organization} +openai/new-model +from \\S+Z +standard +`))

    const words = ["prices", "explain", "openai/new-model", "--input", "1000", "--output", "100", "--live", ...only]
    const own = await ask(words)
    expect(own.stdout).toMatch(/^openai\/new-model@prc_\w+\/standard, the organization's own price, checked /)
    expect(await askJson(words)).toMatchObject({ cost_usd: "0.00415", base_cost_usd: null, origin: "organization" })
  })

  test("explain shows what markup and discount make of a price, to the last digit", async () => {
    const organization = (await app.admin("POST", "/admin/v1/organizations", { name: "tenant" })).body.id
    const terms = { markup_percent: "7.25", discount_percent: "0.5" }
    await app.admin("PUT", `/admin/v1/organizations/${organization}/price-terms`, terms)
    const words = ["prices", "explain", "gpt-4o", "--provider", "openai", "--input", "1000", "--live"]
    const { stdout } = await ask([...words, "--organization", organization])
    expect(stdout).toMatch(/^ {2}markup 7\.25 %, discount 0\.5 % .* 0\.0001678\d+$/m)
    // 0.0025 × 1.0725 × 0.995
    expect(stdout).toMatch(/^ {2}total +0\.00266784375$/m)
    expect((await ask(["prices", "explain", "gpt-4o", "--input", "1", "--live"])).exitCode).toBe(2)
    expect((await ask(["prices", "explain", "gpt-4o", "--input", "1", "--organization", "o"])).exitCode).toBe(2)
    const unknown = await ask(["prices", "explain", "openai/mystery", "--input", "1", "--live"])
    expect([unknown.exitCode, unknown.stderr]).toEqual([
      1,
      expect.stringContaining("would be unpriced: openai/mystery"),
    ])
  })
})
