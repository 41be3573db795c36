import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { type Config, formatProblem, loadConfig } from "../../src/config/load.ts"
import { redactConfig } from "../../src/config/redact.ts"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"

const FIXTURES = join(import.meta.dirname, "../fixtures/config")
const CANARY = "canary-secret"

const VLLM = "providers:\n  vllm: { dialect: openai, base_url: http://127.0.0.1:8000/v1 }\n"

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => {
  folder.remove()
})

describe("a mistake in the file is one line with its place, what was found and what was expected", () => {
  const cases = readdirSync(FIXTURES).filter((name) => name.endsWith(".yaml"))

  it.each(cases)("%s", (name) => {
    const result = loadConfig({ path: name, cwd: FIXTURES, env: { CANARY } })
    if (result.kind === "loaded") throw new Error(`${name} was accepted`)
    const lines = result.problems.map((problem) => `${formatProblem(problem)}\n`).join("")
    expect(lines).toBe(readFileSync(join(FIXTURES, name.replace(".yaml", ".txt")), "utf8"))
    expect(JSON.stringify(result)).not.toContain(CANARY)
  })

  it("reports all mistakes of a file at once, in the order of its lines", () => {
    expect(folder.problems("listen: { port: x }\nlogs: 1\nsandbox: 2\n", { PORT: "70000" })).toEqual([
      'proxy.config.yaml:1:17: listen.port: found "x", expected a whole number from 0 to 65535',
      "proxy.config.yaml:2:1: logs: found an unknown key, expected the key log",
      "proxy.config.yaml:3:10: sandbox: found 2, expected true, false or auto",
      "environment: PORT: found 70000, expected a whole number from 0 to 65535",
    ])
  })

  it("quotes names with dots, so that the path cannot mislead", () => {
    expect(folder.problems("providers:\n  v.1: { dialect: openai }\n")).toEqual([
      'proxy.config.yaml:2:3: providers."v.1".base_url: found nothing, expected an http or https URL without user, password, query or fragment',
    ])
  })
})

describe("the file", () => {
  it("must be there when it was asked for by name", () => {
    expect(folder.problems(null, { TALLYGATE_CONFIG: "nowhere/proxy.yaml" })).toEqual([
      "nowhere/proxy.yaml: found no such file, expected the path of a configuration file, from --file or TALLYGATE_CONFIG",
    ])
  })

  it("must be a file", () => {
    mkdirSync(join(folder.path, "conf"))
    expect(folder.problems(null, { TALLYGATE_CONFIG: "conf" })).toEqual([
      "conf: found a folder, expected a configuration file",
    ])
  })

  it("must be UTF-8", () => {
    writeFileSync(join(folder.path, "proxy.config.yaml"), Buffer.from([0x61, 0x3a, 0x20, 0xff]))
    expect(folder.problems(null)).toEqual(["proxy.config.yaml: found bytes that are not UTF-8, expected text in UTF-8"])
  })

  it("must be of a size that a person could have written", () => {
    expect(folder.problems(`# ${"x".repeat(1_048_576)}\n`)).toEqual([
      "proxy.config.yaml: found a file of over 1 MiB, expected a configuration file",
    ])
  })

  it("is named in full where it lies outside of the working directory", () => {
    writeFileSync(join(folder.path, "other.yaml"), "sandbox: 3\n")
    const inner = join(folder.path, "inner")
    mkdirSync(inner)
    const result = loadConfig({ cwd: inner, path: "../other.yaml", env: {} })
    expect(result.kind === "invalid" && result.problems[0]?.file).toBe(join(folder.path, "other.yaml"))
  })

  it("may be absent: the defaults are a complete config", () => {
    const { config, path } = folder.loaded(null)
    expect(path).toBeNull()
    expect(config.listen).toEqual({ host: "127.0.0.1", port: 8787 })
    expect(config.data_dir).toBe(join(folder.path, ".tallygate"))
    expect(config.sandbox).toBe(true)
  })

  it.each(["", "# only a comment\n", "---\n", "providers:\n# vllm:\nmodels:\nlisten:\n"])(
    "may say nothing at all: %j",
    (yaml) => {
      expect(folder.loaded(yaml).config).toEqual(loadedWithoutFile())
    },
  )

  it("is found in the working directory, and TALLYGATE_CONFIG and a path take precedence in turn", () => {
    writeFileSync(join(folder.path, "a.yaml"), "key_cache_max: 1\n")
    writeFileSync(join(folder.path, "b.yaml"), "key_cache_max: 2\n")
    const env = { TALLYGATE_CONFIG: "a.yaml" }
    expect(folder.loaded("key_cache_max: 3\n").config.key_cache_max).toBe(3)
    expect(folder.loaded(null, env).config.key_cache_max).toBe(1)
    expect(loadConfig({ cwd: folder.path, env, path: "b.yaml" })).toMatchObject({ config: { key_cache_max: 2 } })
  })

  it("anchors relative paths at its own folder", () => {
    mkdirSync(join(folder.path, "conf"))
    writeFileSync(join(folder.path, "conf/p.yaml"), "data_dir: data\nprices: { files: [own.yaml] }\n")
    writeFileSync(join(folder.path, "conf/own.yaml"), "")
    const { config } = folder.loaded(null, { TALLYGATE_CONFIG: "conf/p.yaml" })
    expect(config.data_dir).toBe(join(folder.path, "conf/data"))
    expect(config.prices.files).toEqual([join(folder.path, "conf/own.yaml")])
  })

  function loadedWithoutFile(): Config {
    rmSync(join(folder.path, "proxy.config.yaml"), { force: true })
    return folder.loaded(null).config
  }
})

describe("the environment overrides the file", () => {
  it.each([
    ["PORT", "eighty", 'found "eighty", expected a whole number from 0 to 65535'],
    ["PORT", "8787.5", 'found "8787.5", expected a whole number from 0 to 65535'],
    ["HOST", "a b", 'found "a b", expected a host name or an IP address'],
    [
      "DATABASE_URL",
      `mysql://u:${CANARY}@db/l`,
      'found "mysql://u:‹hidden›@db/l", expected a URL that begins with postgres:// or postgresql://',
    ],
    [
      "REDIS_URL",
      `:${CANARY}@cache`,
      'found ":‹hidden›@cache", expected a URL that begins with redis:// or rediss://, with commas between the nodes of a Cluster',
    ],
    [
      "TALLYGATE_ADMIN_KEY",
      `${CANARY}\n`,
      "found ‹hidden›, expected a key without spaces or line breaks, in quotes if it is a number",
    ],
  ])("%s=%s is refused like a value of the file", (variable, value, line) => {
    expect(folder.problems(null, { [variable]: value })).toEqual([`environment: ${variable}: ${line}`])
  })

  it("key by key", () => {
    const { config } = folder.loaded("listen: { port: 1, host: 10.0.0.1 }\ndata_dir: a\n", {
      PORT: "9000",
      HOST: "::1",
      TALLYGATE_DATA: "elsewhere",
      DATABASE_URL: "postgres://db/ledger",
      REDIS_URL: "rediss://cache:6380",
      TALLYGATE_ADMIN_KEY: "an-admin-key-for-automation",
    })
    expect(config).toMatchObject({
      listen: { port: 9000, host: "::1" },
      data_dir: join(folder.path, "elsewhere"),
      database_url: "postgres://db/ledger",
      redis_url: "rediss://cache:6380",
      admin_key: "an-admin-key-for-automation",
    })
  })

  it("leaves what it does not name, and an empty variable names nothing", () => {
    const { config } = folder.loaded("listen: { port: 1, host: 10.0.0.1 }\n", { PORT: "", HOST: "10.0.0.2" })
    expect(config.listen).toEqual({ port: 1, host: "10.0.0.2" })
  })

  it("without hiding a mistake in the value that it replaces", () => {
    expect(folder.problems("listen: { port: x }\n", { PORT: "9000" })).toHaveLength(1)
  })

  it("takes an admin key of numbers as text", () => {
    expect(folder.loaded(null, { TALLYGATE_ADMIN_KEY: "12345678901234567890" }).config.admin_key).toBe(
      "12345678901234567890",
    )
  })
})

describe("several workers", () => {
  const REDIS = "REDIS_URL (redis_url) to be set: limits counted in each process would be multiplied by 4"
  const DATABASE = "DATABASE_URL (database_url) to be set: the embedded database belongs to one process"
  const [REDIS_URL, DATABASE_URL] = ["redis://localhost", "postgres://localhost/tallygate"]

  it.each([
    [{}, `${REDIS}; and ${DATABASE}`],
    [{ DATABASE_URL }, REDIS],
    [{ REDIS_URL }, DATABASE],
  ])("are refused without what they share (%j), with the reason", (env, missing) => {
    expect(folder.problems(null, { ...env, WORKERS: "4" })).toEqual([
      `environment: WORKERS: found 4, expected 1, or ${missing}`,
    ])
    expect(folder.problems("workers: 4\n", env)).toEqual([
      `proxy.config.yaml:1:10: workers: found 4, expected 1, or ${missing}`,
    ])
  })

  it("run on shared stores, and WORKERS takes precedence over the file", () => {
    const env = { REDIS_URL, DATABASE_URL }
    expect(folder.loaded("workers: 3\n", env).config.workers).toBe(3)
    expect(folder.loaded("workers: 3\n", { ...env, WORKERS: "2" }).config.workers).toBe(2)
    expect(folder.loaded("workers: 3\n", { WORKERS: "1" }).config.workers).toBe(1)
  })
})

describe("a valid config", () => {
  it("reads the core of the documentation", () => {
    const yaml = `
providers:
  openai: { dialect: openai, base_url: https://api.openai.com/v1, api_key: \${OPENAI_API_KEY} }
  vllm:   { dialect: openai, base_url: http://127.0.0.1:8000/v1 }
models:
  - { match: "gpt-*", provider: openai }
  - { match: "fast", provider: vllm, model: "meta-llama/Llama-3.3-70B-Instruct" }
`
    const { config, notes } = folder.loaded(yaml, { OPENAI_API_KEY: "sk-o" })
    expect(config.providers.openai?.api_key).toBe("sk-o")
    expect(config.models).toEqual([
      { match: "gpt-*", provider: "openai" },
      { match: "fast", provider: "vllm", model: "meta-llama/Llama-3.3-70B-Instruct" },
    ])
    expect(notes).toEqual(["the sandbox is off, because a provider is configured"])
  })

  it("leaves nothing to look up on a provider: time-outs are overlaid, prices are those of its name", () => {
    const yaml = `${VLLM.replace(" }", ", timeouts: { idle_ms: 7 } }")}timeouts: { connect_ms: 3, idle_ms: 5 }\n`
    expect(folder.loaded(yaml).config.providers.vllm).toEqual({
      dialect: "openai",
      base_url: "http://127.0.0.1:8000/v1",
      credential: "account",
      region: "",
      account: "default",
      accounts: [],
      priced_as: "vllm",
      headers: {},
      include_usage: true,
      timeouts: { connect_ms: 3, first_byte_ms: 600_000, idle_ms: 7, drain_ms: 2_000 },
    })
  })

  it("decides about the sandbox: on without a provider, off with one, and as told", () => {
    expect(folder.loaded("sandbox: auto\n").config.sandbox).toBe(true)
    expect(folder.loaded(VLLM).config.sandbox).toBe(false)
    expect(folder.loaded(`sandbox: true\n${VLLM}`).config.sandbox).toBe(true)
    expect(folder.loaded("sandbox: false\n").notes).toEqual([
      "no provider is configured and the sandbox is off: no model can be called",
    ])
  })

  it("lets a route lead to the sandbox while it is on", () => {
    expect(folder.loaded("models: [{ match: demo, provider: sandbox }]\n").config.models).toHaveLength(1)
  })

  it("notes a weak admin key without showing it", () => {
    const { notes } = folder.loaded(null, { TALLYGATE_ADMIN_KEY: "swordfish" })
    expect(notes.join()).toContain("admin_key is short")
    expect(notes.join()).not.toContain("swordfish")
  })

  it("is frozen to the last leaf", () => {
    const { config } = folder.loaded(VLLM, { OPENAI_API_KEY: "o" })
    for (const part of [config, config.listen, config.providers, config.providers.vllm?.timeouts, config.models[0]]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })

  it("can be printed without a secret", () => {
    const yaml = `${VLLM.replace(" }", `, api_key: ${CANARY}, headers: { x-key: ${CANARY} } }`)}
admin_key: ${CANARY}-long-enough
database_url: postgres://u:${CANARY}@db/l?password=${CANARY}
redis_url: redis://:${CANARY}@cache:6379
oidc: { issuer: "https://login.example.com", client_id: tallygate, client_secret: ${CANARY} }
`
    const text = JSON.stringify(redactConfig(folder.loaded(yaml).config))
    expect(text).not.toContain(CANARY)
    expect(text).toContain("postgres://u:‹hidden›@db/l?‹hidden›")
    expect(text).toContain("redis://:‹hidden›@cache:6379")
  })
})
