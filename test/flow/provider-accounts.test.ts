/** Several accounts at a provider, in the configuration and by API: who calls with which, and that no credential comes out. */
import OpenAI, { toFile } from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { chooseAccount } from "../../src/providers/account-choice.ts"
import { checkSignature } from "../support/aws-verify.ts"
import { type FakeProvider, startFakeProvider } from "../support/fake-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

const KEY = "11".repeat(32)
const CANARIES = {
  first: "sk-canary-of-the-first-0001",
  second: "sk-canary-of-the-second-0002",
  added: "sk-canary-by-api-0003",
  replaced: "sk-canary-by-api-0004",
  header: "canary-in-a-header-0005",
  aws: "canary/of+the/access+key/in/the/file",
  session: "canary-of-the-session",
  awsByApi: "canary/of+the/access+key/by/API",
}

let provider: FakeProvider
let app: TestApp
let answers: string[]

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(yaml(provider))
  answers = []
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

function yaml({ origin }: FakeProvider, key = `encryption_key: "${KEY}"`, more = ""): string {
  return `
providers:
  openai:
    dialect: openai
    base_url: ${origin}/v1
    api_key: ${CANARIES.first}
    region: eu
    accounts: [{ name: second, api_key: ${CANARIES.second}, region: us }]
  callers: { dialect: openai, base_url: ${origin}/v1, credential: caller }
  bedrock:
    dialect: bedrock
    base_url: ${origin}
    region: eu-central-1
    access_key_id: AKIAOFTHECONFIG00001
    secret_access_key: ${CANARIES.aws}
    session_token: ${CANARIES.session}
models:
  - { match: pinned, provider: openai, model: gpt-4o-mini, account: second }
  - { match: "gpt-*", provider: openai }
${key}
${more}`
}

type Shown = { name: string; source: string; shadows_database: boolean; last4: string; unusable: string | null }
type Answer = {
  status: number
  body: Shown & { accounts: Shown[]; data: (Shown & { accounts: Shown[] })[]; error: Fault }
}
type Fault = { code: string; message: string; param: string | null }

async function admin(method: string, route: string, body?: unknown, at = app): Promise<Answer> {
  const answer = await at.admin(method, `/admin/v1/providers${route}`, body)
  answers.push(JSON.stringify(answer))
  return answer as unknown as Answer
}

async function call(key: string, model: string, at = app) {
  const response = await fetch(`${at.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }),
  })
  const body = (await response.json()) as { error?: Fault }
  return { status: response.status, id: response.headers.get("x-request-id") ?? "", error: body.error }
}

const credentialsSent = () => provider.requests.map(({ headers }) => headers.authorization)

/** A key that falls to this one of the accounts. */
async function keyOf(wanted: string, names: readonly string[], at = app) {
  for (;;) {
    const made = await at.createKey()
    if (
      chooseAccount(
        names.map((name) => ({ name, weight: 1 })),
        made.id,
      )?.name === wanted
    )
      return made
  }
}

describe("accounts of the configuration", () => {
  test("share the keys, and each key keeps to its own; the record says which, and its region", async () => {
    const [one, two] = [await keyOf("default", ["default", "second"]), await keyOf("second", ["default", "second"])]
    const calls = [await call(one.key, "gpt-4o"), await call(two.key, "gpt-4o"), await call(one.key, "gpt-4o-mini")]
    const [first, second] = [`Bearer ${CANARIES.first}`, `Bearer ${CANARIES.second}`]
    expect(credentialsSent()).toEqual([first, second, first])
    expect(await app.record(calls[0]?.id ?? "")).toMatchObject({ provider_account: "default", region: "eu" })
    expect(await app.record(calls[1]?.id ?? "")).toMatchObject({ provider_account: "second", region: "us" })
  })

  test("go before the key's own where a route names one", async () => {
    const { key } = await keyOf("default", ["default", "second"])
    await call(key, "pinned")
    expect(credentialsSent()).toEqual([`Bearer ${CANARIES.second}`])
  })

  test("are shown with the end of their credential, and changed in the configuration alone", async () => {
    const { body } = await admin("GET", "/openai")
    expect(body).toMatchObject({ name: "openai", source: "config", shadows_database: false })
    expect(body.accounts).toMatchObject([
      { name: "default", source: "config", last4: "0001" },
      { name: "second", source: "config", last4: "0002" },
    ])
    for (const [method, route, wanted] of [
      ["PATCH", "/openai", { region: "us" }],
      ["DELETE", "/openai", undefined],
      ["POST", "", { name: "openai", dialect: "openai", base_url: "http://127.0.0.1:1/v1" }],
      ["PATCH", "/openai/accounts/second", { weight: 2 }],
      ["DELETE", "/openai/accounts/second", undefined],
      ["POST", "/openai/accounts", { name: "second", api_key: "sk-x" }],
      ["POST", "/callers/accounts", { name: "second", api_key: "sk-x" }],
    ] as const) {
      expect((await admin(method, route, wanted)).body.error, `${method} ${route}`).toMatchObject({ code: "conflict" })
    }
  })
})

describe("a provider by API", () => {
  test.each([
    [{ name: "sandbox" }, "name", "another name"],
    [{ name: "Upper" }, "name", "lower-case"],
    [{ name: "v1" }, "name", "path of the server"],
    [{ base_url: "ftp://x" }, "base_url", "http or https"],
    [{ base_url: "https://u:p@x/v1" }, "base_url", "without user"],
    [{ dialect: "soap" }, "dialect", "Invalid"],
    [{ headers: { Host: "x" } }, "headers.Host", ""],
    [{ headers: { host: "x" } }, "headers.host", ""],
    [{ headers: { "x-a": "two\nlines" } }, "headers.x-a", "one line"],
    [{ models: ["gpt-[45]"] }, "models.0", "only * is special"],
    [{ api_key: CANARIES.added }, "api_key", ""],
  ])("is refused with %j, and nothing of it is repeated that could be secret", async (wrong, param, text) => {
    const wanted = { name: "extra", dialect: "openai", base_url: `${provider.origin}/v1`, ...wrong }
    const { status, body } = await admin("POST", "", wanted)
    expect([status, body.error.param]).toEqual([400, param])
    expect(body.error.message).toContain(text)
    expect(JSON.stringify(body)).not.toContain("canary")
  })

  test("lives its whole life without a restart: made, called, changed, disabled, deleted", async () => {
    const made = { name: "extra", dialect: "openai", base_url: `${provider.origin}/v1/`, models: ["extra-*"] }
    const headers = { "x-extra": CANARIES.header }
    expect(await admin("POST", "", { ...made, headers, priced_as: "openai" })).toMatchObject({
      status: 201,
      body: { source: "database", base_url: `${provider.origin}/v1`, header_names: ["x-extra"], accounts: [] },
    })
    expect((await admin("POST", "", made)).body.error.code).toBe("conflict")
    const { key } = await app.createKey()
    expect(await call(key, "extra/gpt-4o")).toMatchObject({
      status: 503,
      error: { code: "provider_account_unavailable", message: expect.stringContaining("no account") },
    })

    const account = { name: "main", api_key: CANARIES.added }
    expect(await admin("POST", "/extra/accounts", account)).toMatchObject({
      status: 201,
      body: { name: "main", source: "database", last4: "0003", unusable: null },
    })
    const answered = await call(key, "extra-gpt")
    expect(answered.status).toBe(200)
    expect(provider.requests[0]?.headers).toMatchObject({
      authorization: `Bearer ${CANARIES.added}`,
      "x-extra": CANARIES.header,
    })
    expect(await app.record(answered.id)).toMatchObject({ provider: "extra", provider_account: "main" })

    await admin("PATCH", "/extra/accounts/main", { api_key: CANARIES.replaced })
    await admin("PATCH", "/extra", { headers: {} })
    provider.reset()
    await call(key, "extra/gpt-4o")
    expect(provider.requests[0]?.headers.authorization).toBe(`Bearer ${CANARIES.replaced}`)
    expect(provider.requests[0]?.headers["x-extra"]).toBeUndefined()

    await admin("PATCH", "/extra/accounts/main", { disabled: true })
    expect((await call(key, "extra/gpt-4o")).status).toBe(503)
    await admin("PATCH", "/extra/accounts/main", { disabled: false })
    await admin("PATCH", "/extra", { disabled: true })
    expect((await call(key, "extra/gpt-4o")).error?.code).toBe("model_not_found")
    await admin("PATCH", "/extra", { disabled: false })
    expect((await call(key, "extra/gpt-4o")).status).toBe(200)

    expect((await admin("DELETE", "/extra/accounts/nothing")).body.error.code).toBe("not_found")
    expect((await admin("DELETE", "/extra")).status).toBe(200)
    expect((await call(key, "extra/gpt-4o")).error?.code).toBe("model_not_found")
    expect((await admin("GET", "/extra")).body.error.code).toBe("not_found")
  })
})

describe("an account by API at a provider of the configuration", () => {
  const NAMES = ["default", "second", "third"]

  test("takes its share of the keys on every proxy within a second, and gives it back when it goes", async () => {
    const other = await startTestApp(yaml(provider), { databaseUrl: app.databaseUrl })
    try {
      const falling = await keyOf("third", NAMES)
      const staying = await keyOf("second", NAMES)
      await call(falling.key, "gpt-4o", other)
      expect(credentialsSent()).not.toContain(`Bearer ${CANARIES.added}`)
      await admin("POST", "/openai/accounts", { name: "third", api_key: CANARIES.added })
      await until(async () => {
        provider.reset()
        await call(falling.key, "gpt-4o", other)
        return credentialsSent()[0] === `Bearer ${CANARIES.added}` ? true : undefined
      })
      provider.reset()
      await call(staying.key, "gpt-4o", other)
      expect(credentialsSent()).toEqual([`Bearer ${CANARIES.second}`])
      await admin("DELETE", "/openai/accounts/third")
      provider.reset()
      expect((await call(falling.key, "gpt-4o")).status).toBe(200)
      expect(credentialsSent()).not.toContain(`Bearer ${CANARIES.added}`)
    } finally {
      await other.close()
    }
  })

  test("keeps what was made with it: calls on a file go to the account that has it, or to none", async () => {
    await admin("POST", "/openai/accounts", { name: "third", api_key: CANARIES.added })
    const { key } = await keyOf("third", NAMES)
    const sdk = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const file = await sdk.files.create({ file: await toFile(Buffer.from("{}"), "a.jsonl"), purpose: "batch" })
    // Weights that take the key elsewhere for everything new.
    await admin("PATCH", "/openai/accounts/third", { weight: 1 })
    await admin("POST", "/openai/accounts", { name: "heavy", api_key: CANARIES.replaced, weight: 1_000 })
    provider.reset()
    await call(key, "gpt-4o")
    expect(credentialsSent()).toEqual([`Bearer ${CANARIES.replaced}`])
    provider.reset()
    await sdk.files.retrieve(file.id)
    await sdk.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" })
    expect(credentialsSent()).toEqual([`Bearer ${CANARIES.added}`, `Bearer ${CANARIES.added}`])
    const later = await sdk.files.create({ file: await toFile(Buffer.from("{}"), "b.jsonl"), purpose: "batch" })
    const both = { model: "gpt-4o", input: [{ role: "user", content: [file.id, later.id].map(fileInput) }] }
    await expect(sdk.responses.create(both as never)).rejects.toMatchObject({ status: 400, code: "invalid_request" })

    await admin("DELETE", "/openai/accounts/third")
    provider.reset()
    await expect(sdk.files.retrieve(file.id)).rejects.toMatchObject({
      status: 503,
      code: "provider_account_unavailable",
    })
    expect(provider.requests).toEqual([])
    await admin("DELETE", "/openai/accounts/heavy")
  })

  test("stands behind one of the same name that the configuration gets later, which the list says", async () => {
    await admin("POST", "/openai/accounts", { name: "later", api_key: CANARIES.added })
    await admin("POST", "", { name: "mine", dialect: "openai", base_url: "http://127.0.0.1:1/v1" })
    const both = yaml(provider)
      .replace("accounts: [", `accounts: [{ name: later, api_key: ${CANARIES.replaced} }, `)
      .replace(
        "  callers:",
        `  mine: { dialect: openai, base_url: ${provider.origin}/v1, api_key: sk-own }\n  callers:`,
      )
    const other = await startTestApp(both, { databaseUrl: app.databaseUrl })
    try {
      const { body } = await admin("GET", "", undefined, other)
      expect(body.data.filter(({ name }) => name === "mine")).toMatchObject([
        { source: "config", shadows_database: true },
      ])
      const { accounts = [] } = body.data.find(({ name }) => name === "openai") ?? {}
      expect(accounts.filter(({ name }) => name === "later")).toMatchObject([
        { source: "config", shadows_database: true, last4: "0004" },
      ])
      const { key } = await keyOf("later", ["default", "later", "second"], other)
      await call(key, "gpt-4o", other)
      await call(key, "mine/gpt-4o", other)
      expect(credentialsSent()).toEqual([`Bearer ${CANARIES.replaced}`, "Bearer sk-own"])
      // What stands behind can still be tidied away.
      expect((await admin("DELETE", "/openai/accounts/later", undefined, other)).status).toBe(200)
    } finally {
      await other.close()
      await admin("DELETE", "/mine")
    }
  })
})

describe("an account with access keys of AWS", () => {
  const body = { messages: [{ role: "user", content: [{ text: "Grüße" }] }], inferenceConfig: { maxTokens: 9 } }
  const usage = { inputTokens: 4, outputTokens: 5, totalTokens: 9 }
  const converse = async (key: string) => {
    provider.enqueue({ body: { output: { message: { role: "assistant", content: [{ text: "Hi" }] } }, usage } })
    return fetch(`${app.url}/bedrock/model/us.amazon.nova-lite-v1%3A0/converse`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    })
  }
  const checked = (secret: string) => {
    const [received] = provider.requests
    if (received === undefined) throw new Error("nothing arrived")
    return checkSignature(received, secret)
  }

  test("signs what arrives, for its region, with its session's token", async () => {
    const { key } = await app.createKey()
    const response = await converse(key)
    expect(response.status).toBe(200)
    const check = checked(CANARIES.aws)
    expect(check.computed).toBe(check.stated)
    expect(check).toMatchObject({ accessKeyId: "AKIAOFTHECONFIG00001", region: "eu-central-1", service: "bedrock" })
    expect(check.signedHeaders).toEqual(expect.arrayContaining(["host", "x-amz-date", "x-amz-security-token"]))
    const [received] = provider.requests
    expect(received?.path).toBe("/model/us.amazon.nova-lite-v1%3A0/converse")
    expect(received?.headers["x-amz-security-token"]).toBe(CANARIES.session)
    expect(JSON.stringify(received?.rawHeaders)).not.toContain(CANARIES.aws)
    const record = await app.record(response.headers.get("x-request-id") ?? "")
    expect(record).toMatchObject({ input_uncached_tokens: 4, output_tokens: 5, region: "eu-central-1" })
  })

  test("is made, changed and shown by API, where nothing but the end of its id comes out", async () => {
    const keys = { access_key_id: "AKIAMADEBYTHEAPI0002", secret_access_key: CANARIES.awsByApi }
    expect(await admin("POST", "/bedrock/accounts", { name: "half", access_key_id: keys.access_key_id })).toMatchObject(
      {
        status: 400,
        body: { error: { param: "secret_access_key" } },
      },
    )
    expect(await admin("POST", "/openai/accounts", { name: "keys", ...keys })).toMatchObject({
      status: 400,
      body: { error: { param: "access_key_id" } },
    })
    const made = await admin("POST", "/bedrock/accounts", { name: "main", weight: 1_000, region: "us-west-2", ...keys })
    expect(made).toMatchObject({ status: 201, body: { name: "main", last4: "0002" } })
    const { key } = await keyOf("main", ["default", "main"])
    expect((await converse(key)).status).toBe(200)
    const check = checked(CANARIES.awsByApi)
    expect(check.computed).toBe(check.stated)
    expect(check).toMatchObject({ accessKeyId: keys.access_key_id, region: "us-west-2" })

    // A key of Bedrock's own in their place, which travels as it is.
    await admin("PATCH", "/bedrock/accounts/main", { api_key: CANARIES.added })
    provider.reset()
    await converse(key)
    expect(credentialsSent()).toEqual([`Bearer ${CANARIES.added}`])
    await admin("PATCH", "/bedrock/accounts/main", keys)
    provider.reset()
    await converse(key)
    const again = checked(CANARIES.awsByApi)
    expect(again.computed).toBe(again.stated)
    for (const text of [await wholeDatabase(app.databaseUrl), answers.join("\n"), app.logged.join("\n")]) {
      expect(text).not.toMatch(/canary/)
    }
    await admin("DELETE", "/bedrock/accounts/main")
  })
})

describe("encryption", () => {
  test("without a key an account is refused with what to set, and nothing is stored", async () => {
    const bare = await startTestApp(yaml(provider, ""))
    try {
      const refused = await admin("POST", "/openai/accounts", { name: "third", api_key: CANARIES.added }, bare)
      expect(refused).toMatchObject({ status: 409, body: { error: { code: "encryption_key_missing" } } })
      expect(refused.body.error.message).toContain("Set TALLYGATE_ENCRYPTION_KEY")
      expect((await admin("GET", "/openai", undefined, bare)).body.accounts).toHaveLength(2)
    } finally {
      await bare.close()
    }
  })

  test("a proxy that lacks the key says so and goes on with the other accounts; a row that is copied does not open", async () => {
    await admin("POST", "/openai/accounts", { name: "third", api_key: CANARIES.added })
    const stranger = await startTestApp(yaml(provider, `encryption_key: "${"22".repeat(32)}"`), {
      databaseUrl: app.databaseUrl,
    })
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    try {
      const { key } = await keyOf("third", ["default", "second", "third"], stranger)
      expect((await call(key, "gpt-4o", stranger)).status).toBe(200)
      const ready = await fetch(`${stranger.url}/readyz`)
      expect(ready.status).toBe(200)
      expect(await ready.json()).toMatchObject({
        provider_accounts: expect.stringMatching(/^openai\/third: encrypted under/),
      })
      const told = stranger.logged.filter((line) => line.includes("provider account cannot be used"))
      expect(told).toHaveLength(1)
      expect(told[0]).toContain('"provider_account":"openai/third"')
      const { body } = await admin("GET", "/openai", undefined, stranger)
      expect(body.accounts.find(({ name }) => name === "third")?.unusable).toContain("was not given")

      await sql`INSERT INTO provider_accounts (provider, name, credential_ciphertext, credential_nonce, credential_key_id)
        SELECT provider, 'copied', credential_ciphertext, credential_nonce, credential_key_id
        FROM provider_accounts WHERE name = 'third'`
      await sql`UPDATE directory_version SET version = version + 1`
      await until(async () => {
        const { provider_accounts: state } = (await (await fetch(`${app.url}/readyz`)).json()) as Record<string, string>
        return state?.startsWith("openai/copied: not what was encrypted") ? true : undefined
      })
      await admin("DELETE", "/openai/accounts/copied")
      await admin("DELETE", "/openai/accounts/third")
    } finally {
      await sql.end()
      await stranger.close()
    }
  })

  test("no credential stands in any table, log line, audit row or answer", async () => {
    await admin("POST", "/openai/accounts", { name: "third", api_key: CANARIES.added })
    await admin("PATCH", "/openai/accounts/third", { api_key: CANARIES.replaced })
    await admin("POST", "", {
      name: "extra",
      dialect: "openai",
      base_url: `${provider.origin}/v1`,
      headers: { "x-extra": CANARIES.header },
    })
    const { key } = await keyOf("third", ["default", "second", "third"])
    await app.record((await call(key, "gpt-4o")).id)
    expect(credentialsSent()).toEqual([`Bearer ${CANARIES.replaced}`])
    const stored = await wholeDatabase(app.databaseUrl)
    expect(stored).toContain("provider_account.change")
    expect(stored).toMatch(/"x-extra"|x-extra/)
    const openapi = await (await fetch(`${app.url}/openapi.json`)).text()
    for (const text of [stored, answers.join("\n"), app.logged.join("\n"), openapi]) expect(text).not.toMatch(/canary/)
    expect(stored).not.toContain(Buffer.from(CANARIES.replaced).toString("hex"))
    await admin("DELETE", "/extra")
    await admin("DELETE", "/openai/accounts/third")
    const after = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    expect(await after`SELECT 1 FROM provider_accounts`).toHaveLength(0)
    await after.end()
  })
})

function fileInput(id: string) {
  return { type: "input_file", file_id: id }
}

/** Every row of every table, as text; bytes in hex. */
async function wholeDatabase(url: string): Promise<string> {
  const sql = openPostgres(url, { max: 1, applicationName: "test" })
  try {
    const tables = await sql<{ name: string }[]>`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`
    const texts: string[] = []
    for (const { name } of tables) {
      const rows = await sql<{ text: string }[]>`SELECT t::text AS text FROM ${sql(name)} t`
      texts.push(name, ...rows.map(({ text }) => text))
    }
    return texts.join("\n")
  } finally {
    await sql.end()
  }
}
