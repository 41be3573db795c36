import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"

const CANARY = "canary-secret"
const VLLM = "providers:\n  vllm: { dialect: openai, base_url: http://127.0.0.1:8000/v1 }\n"

type Env = Record<string, string | undefined>

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => {
  folder.remove()
})

describe("providers with a key in the environment", () => {
  it("are on with their address, and the sandbox steps back", () => {
    const { config, notes } = folder.loaded(null, {
      OPENAI_API_KEY: "sk-o",
      ANTHROPIC_API_KEY: "sk-a",
      GEMINI_API_KEY: "g",
      MISTRAL_API_KEY: "m",
      GROQ_API_KEY: "q",
      DEEPSEEK_API_KEY: "d",
      XAI_API_KEY: "x",
      OPENROUTER_API_KEY: "r",
    })
    expect(Object.entries(config.providers).map(([name, p]) => [name, p.dialect, p.base_url, p.api_key])).toEqual([
      ["openai", "openai", "https://api.openai.com/v1", "sk-o"],
      ["anthropic", "anthropic", "https://api.anthropic.com/v1", "sk-a"],
      ["google", "google", "https://generativelanguage.googleapis.com/v1beta", "g"],
      ["mistral", "openai", "https://api.mistral.ai/v1", "m"],
      ["groq", "openai", "https://api.groq.com/openai/v1", "q"],
      ["deepseek", "openai", "https://api.deepseek.com/v1", "d"],
      ["xai", "openai", "https://api.x.ai/v1", "x"],
      ["openrouter", "openai", "https://openrouter.ai/api/v1", "r"],
    ])
    expect(config.sandbox).toBe(false)
    expect(config.models).toContainEqual({ match: "gpt-*", provider: "openai" })
    expect(config.models).toContainEqual({ match: "claude-*", provider: "anthropic" })
    expect(config.models).toContainEqual({ match: "gemini-*", provider: "google" })
    expect(notes).toContain("provider openai is on, because OPENAI_API_KEY is set")
  })

  it("are off when the variable is empty", () => {
    expect(folder.loaded(null, { OPENAI_API_KEY: "" }).config.providers).toEqual({})
  })

  it("have their addresses moved by the SDK's own variables", () => {
    const { config } = folder.loaded(null, {
      OPENAI_API_KEY: "o",
      OPENAI_BASE_URL: "http://10.0.0.1:9/v1/",
      ANTHROPIC_API_KEY: "a",
      ANTHROPIC_BASE_URL: "http://10.0.0.2:9",
    })
    expect(config.providers.openai?.base_url).toBe("http://10.0.0.1:9/v1")
    expect(config.providers.anthropic?.base_url).toBe("http://10.0.0.2:9/v1")
  })

  it("never lead back to the proxy itself, though applications beside it are told to", () => {
    const { config, notes } = folder.loaded(null, { OPENAI_API_KEY: "o", OPENAI_BASE_URL: "http://localhost:8787/v1" })
    expect(config.providers.openai?.base_url).toBe("https://api.openai.com/v1")
    expect(notes[0]).toContain("OPENAI_BASE_URL is this proxy's own address")
  })

  it("are held to the schema under the name of the variable", () => {
    expect(folder.problems(null, { OPENAI_API_KEY: `${CANARY} x` })).toEqual([
      "environment: OPENAI_API_KEY: found ‹hidden›, expected a key without spaces or line breaks, in quotes if it is a number",
    ])
    expect(folder.problems(null, { OPENAI_API_KEY: "o", OPENAI_BASE_URL: `https://u:${CANARY}@x.test` })).toEqual([
      'environment: OPENAI_BASE_URL: found "https://u:‹hidden›@x.test", expected an http or https URL without user, password, query or fragment',
    ])
  })

  it("give way to an entry of the same name, routes included", () => {
    const yaml = VLLM.replace("vllm", "openai")
    const { config, notes } = folder.loaded(yaml, { OPENAI_API_KEY: "o" })
    expect(config.providers.openai).toMatchObject({ base_url: "http://127.0.0.1:8000/v1" })
    expect(config.providers.openai).not.toHaveProperty("api_key")
    expect(config.models).toEqual([])
    expect(notes).toContain("provider openai has no route; its models are called as openai/<model>")
  })

  it("stand below the file's routes, so that the file wins", () => {
    const yaml = `${VLLM}models:\n  - { match: "gpt-*", provider: vllm }\n`
    const { config, notes } = folder.loaded(yaml, { OPENAI_API_KEY: "o" })
    expect(config.models.slice(0, 2)).toEqual([
      { match: "gpt-*", provider: "vllm" },
      { match: "gpt-*", provider: "openai" },
    ])
    expect(notes).toContain("route gpt-* to openai is never reached: gpt-* to vllm is above it")
  })

  it("do not take another provider's name as a vendor", () => {
    const vendors = (env: Env) =>
      folder.loaded(null, { OPENROUTER_API_KEY: "r", ...env }).config.models.map((r) => r.match)
    expect(vendors({})).toContain("anthropic/*")
    expect(vendors({ ANTHROPIC_API_KEY: "a" })).not.toContain("anthropic/*")
  })
})
