import { afterEach, beforeEach, expect, test } from "vitest"
import { planReload } from "../../src/app/reload-plan.ts"
import { documentedKeys } from "../../src/config/schema-paths.ts"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => folder.remove())

function plan(before: string, after: string) {
  return planReload(folder.loaded(before).config, folder.loaded(after).config)
}

const PROVIDER = "providers:\n  a: { dialect: openai, base_url: http://127.0.0.1:8000/v1, api_key: sk-canary-1 }\n"

test("the same configuration changes nothing", () => {
  const { changed, waiting, config } = plan(PROVIDER, PROVIDER)
  expect([changed, waiting]).toEqual([[], []])
  expect(config).toEqual(folder.loaded(PROVIDER).config)
})

test("providers, routes, prices and bounds change at once, each by its path and never by its value", () => {
  const after = `${PROVIDER.replace("sk-canary-1", "sk-canary-2")}models: [{ match: "*", provider: a }]\nbody_bytes_max: 2048\n`
  const planned = plan(PROVIDER, after)
  expect(planned.changed.toSorted()).toEqual(["body_bytes_max", "models", "providers.a.api_key"])
  expect(planned.waiting).toEqual([])
  expect(planned.config).toEqual(folder.loaded(after).config)
  expect(JSON.stringify([planned.changed, planned.waiting])).not.toContain("canary")
})

test("a provider that comes or goes is named as a whole", () => {
  expect(plan("", PROVIDER).changed).toEqual(["sandbox", "providers.a"])
  expect(plan(PROVIDER, "").changed).toEqual(["sandbox", "providers.a"])
})

test("what is made once stays as it is, and waits for the next start by name", () => {
  const after =
    "listen: { port: 9999 }\nlisteners: { metrics: { port: 1 } }\nadmission: { lease_ms: 9000, drains_max: 3 }\njournal: { sync: power }\n"
  const { changed, waiting, config } = plan("listen: { port: 8787 }\n", after)
  expect(waiting.toSorted()).toEqual(["admission.lease_ms", "journal.sync", "listen.port", "listeners.metrics"])
  expect(changed).toEqual(["admission.drains_max"])
  expect(config.listen.port).toBe(8787)
  expect(config.listeners).toEqual({})
  expect(config.admission).toEqual({ ...folder.loaded("").config.admission, drains_max: 3 })
  expect(config.journal.sync).toBe("process")
})

test("a key that was set and is set no more waits as well", () => {
  const { waiting, config } = plan("database_url: postgres://127.0.0.1/a\n", "")
  expect(waiting).toEqual(["database_url"])
  expect(config.database_url).toBe("postgres://127.0.0.1/a")
})

test("every key of the configuration is decided on", () => {
  const { config } = folder.loaded("")
  const planned = planReload(config, config).config
  for (const { path } of documentedKeys()) {
    const key = path.split(/[.[]/)[0] ?? ""
    if (key in config) expect(Object.keys(planned), path).toContain(key)
  }
  expect(planned).toEqual(config)
})
