/** The recorded shapes of test/fixtures/wire, read from disk: request, answer bytes, and the usage that they mean. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import type { Usage } from "../../src/metering/usage.ts"

export type ExpectedUsage = Usage & { usagePresent: boolean; model: string; tier: string; responseId: string }

export type WireFixture = {
  readonly name: string
  readonly request: Buffer
  readonly answer: Buffer
  readonly isSse: boolean
  readonly expected: ExpectedUsage
}

export function wireFixtures(dialect: string): WireFixture[] {
  const folder = path.join(import.meta.dirname, "..", "fixtures", "wire", dialect)
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return names.map(({ name }) => {
    const isSse = existsSync(path.join(folder, name, "response.sse"))
    return {
      name,
      request: readFileSync(path.join(folder, name, "request.json")),
      answer: readFileSync(path.join(folder, name, isSse ? "response.sse" : "response.json")),
      isSse,
      expected: JSON.parse(readFileSync(path.join(folder, name, "expected-usage.json"), "utf8")),
    }
  })
}
