import { readFileSync } from "node:fs"
import path from "node:path"
import { expect, test } from "vitest"
import { UNBOUNDED_REASONS } from "../../src/providers/request-bound.ts"

test("the page about limits lists every reason for which a call cannot be bounded, and no other", () => {
  const page = readFileSync(path.join(import.meta.dirname, "../../docs/limits.md"), "utf8")
  const table = /\| reason \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)/.exec(page)?.[1] ?? ""
  expect([...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason)).toEqual([...UNBOUNDED_REASONS])
})
