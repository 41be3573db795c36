import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"

const CANARY = "canary-secret"

type Env = Record<string, string | undefined>

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => {
  folder.remove()
})

describe("references to the environment", () => {
  const provider = (apiKey: string) =>
    `providers:\n  p: { dialect: openai, base_url: https://api.example.test/v1, api_key: ${apiKey} }\n`
  const apiKeyOf = (written: string, env: Env = {}) => folder.loaded(provider(written), env).config.providers.p?.api_key

  it("name the variable that is missing, its line and what to do", () => {
    expect(folder.problems(provider(`\${NOWHERE}`))).toEqual([
      `proxy.config.yaml:2:73: providers.p.api_key: found \${NOWHERE}, which is not set, expected NOWHERE to be set in the environment, or a default: \${NOWHERE:-…}`,
    ])
  })

  it("say so when a variable is there and empty", () => {
    expect(folder.problems(provider(`\${EMPTY}`), { EMPTY: "" })).toEqual([
      `proxy.config.yaml:2:73: providers.p.api_key: found \${EMPTY}, which is empty, expected a key without spaces or line breaks, in quotes if it is a number`,
    ])
  })

  it.each([`\${}`, `\${1A}`, `\${A-B}`, `"\${A"`, `\${A:default}`])("are refused when misspelt: %s", (written) => {
    expect(folder.problems(provider(written), { A: CANARY })).toHaveLength(1)
    expect(folder.problems(provider(written), { A: CANARY })[0]).toContain("an unfinished or misspelt reference")
  })

  it("never show a value, because it may be a credential in the wrong place", () => {
    const yaml = `providers:\n  p: \${KEY}\nmodels:\n  - { match: x, provider: \${KEY}, model: "\${KEY} *" }\nlog: { level: x\${KEY} }\n`
    const lines = folder.problems(yaml, { KEY: CANARY })
    expect(lines).toHaveLength(3)
    expect(lines.join("\n")).not.toContain(CANARY)
    expect(lines[0]).toContain(`found the value of \${KEY}`)
  })

  it("need no quotes, in a block or in braces", () => {
    expect(apiKeyOf(`\${KEY}`, { KEY: "sk-1" })).toBe("sk-1")
    expect(apiKeyOf(`"\${KEY}"`, { KEY: "sk-1" })).toBe("sk-1")
    expect(apiKeyOf(`'\${KEY}'`, { KEY: "sk-1" })).toBe("sk-1")
    expect(folder.loaded(`admin_key: \${KEY}\n`, { KEY: "k".repeat(20) }).config.admin_key).toBe("k".repeat(20))
  })

  it("take a default where the variable is missing or empty", () => {
    expect(apiKeyOf(`\${KEY:-none,{at:all}`)).toBe("none,{at:all")
    expect(apiKeyOf(`\${KEY:-none}`, { KEY: "" })).toBe("none")
    expect(apiKeyOf(`\${KEY:-none}`, { KEY: "some" })).toBe("some")
  })

  it("stand within text, more than one of them", () => {
    const { config } = folder.loaded(`database_url: postgres://\${U}:\${P:-p}@\${H}/l\n`, { U: "u", H: "db" })
    expect(config.database_url).toBe("postgres://u:p@db/l")
  })

  it("are filled in once: what they bring is not read again, and a doubled dollar is plain text", () => {
    expect(apiKeyOf(`\${KEY}`, { KEY: `\${OTHER}` })).toBe(`\${OTHER}`)
    expect(apiKeyOf(`$\${KEY}`)).toBe(`\${KEY}`)
  })

  it("become numbers and booleans where those belong, and stay text where text belongs", () => {
    const { config } = folder.loaded(`listen: { port: \${P} }\nsandbox: \${S}\nadmin_key: \${P}\n`, {
      P: "9000",
      S: "false",
    })
    expect(config).toMatchObject({ listen: { port: 9000 }, sandbox: false, admin_key: "9000" })
  })

  it("in comments are no references", () => {
    expect(folder.loaded(`# \${NOWHERE}\nsandbox: true # \${NOWHERE}\n`).config.sandbox).toBe(true)
  })
})
