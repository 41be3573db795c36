import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { documentedKeys } from "../../src/config/schema-paths.ts"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"
import { selfSigned } from "../support/self-signed.ts"

const SHIPPED = readFileSync(join(import.meta.dirname, "../../proxy.config.yaml"), "utf8")
/** The file with its examples switched on: prose begins with ##, an example with a single #. */
const WITH_EXAMPLES = SHIPPED.replace(/^# ?(?!#)/gm, "")

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => {
  folder.remove()
})

/** The first comment beside each key, by the key's path as the schema's documentation writes it. */
function commentsByKey(source: string): Map<string, string> {
  const comments = new Map<string, string>()
  const parents: { indent: number; name: string }[] = []
  for (const line of source.split("\n")) {
    const [, spaces = "", dash = "", key = "", comment = ""] = /^( *)(- )?([\w-]+):(?:.*? # (.*))?/.exec(line) ?? []
    if (key === "") continue
    const indent = spaces.length + dash.length
    while ((parents.at(-1)?.indent ?? -1) >= (dash === "" ? indent : spaces.length)) parents.pop()
    if (dash !== "") parents.push({ indent: spaces.length, name: "[]" })
    parents.push({ indent, name: key })
    const path = parents
      .map(({ name }) => name)
      .join(".")
      .replaceAll(".[]", "[]")
      .replace(/^providers\.[^.]+/, "providers.*")
    if (!comments.has(path)) comments.set(path, comment)
  }
  return comments
}

describe("the shipped proxy.config.yaml", () => {
  it("loads, and equals the defaults", () => {
    const defaults = folder.loaded(null)
    const shipped = folder.loaded(SHIPPED)
    expect(shipped.config).toEqual(defaults.config)
    expect(shipped.path).toBe(join(folder.path, "proxy.config.yaml"))
  })

  it("has examples that load when they are switched on", () => {
    mkdirSync(join(folder.path, "tls"))
    selfSigned(join(folder.path, "tls"))
    const env = {
      POSTGRES_PASSWORD: "p",
      ADMIN_KEY: "an-admin-key-for-automation",
      ENCRYPTION_KEY: "11".repeat(32),
      FORMER_ENCRYPTION_KEY: "22".repeat(32),
      OPENAI_EU_API_KEY: "sk-eu",
      OIDC_CLIENT_SECRET: "s",
      SMTP_PASSWORD: "smtp-password",
      OPENAI_EU_SECOND_API_KEY: "sk-eu-2",
      ...{ AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "s", AWS_SESSION_TOKEN: "t" },
      ...{ AWS_SECOND_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECOND_SECRET_ACCESS_KEY: "s" },
      AWS_SECOND_SESSION_TOKEN: "t",
    }
    const { config } = folder.loaded(WITH_EXAMPLES, env)
    expect(Object.keys(config.providers)).toEqual(["openai-eu", "vllm", "bedrock"])
    expect(config.models.map(({ match }) => match)).toEqual(["gpt-*", "fast"])
    expect(config.admin_key).toBe(env.ADMIN_KEY)
  })

  it("has every key of the schema, each beside the sentence that documents it", () => {
    const comments = commentsByKey(WITH_EXAMPLES)
    const documented = documentedKeys().map(({ path, description }) => [path, description])
    expect(documented.length).toBeGreaterThan(40)
    expect(documented.map(([path]) => [path, comments.get(path ?? "")])).toEqual(documented)
  })
})
