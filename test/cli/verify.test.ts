/** `tallygate verify` on exchanges of our own: what agrees, what differs and how it is told, what cannot be compared. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { describe, expect, test } from "vitest"
import { tallygate } from "./run-command.ts"

const FIXTURES = path.join(import.meta.dirname, "../fixtures/verify")

describe("tallygate verify", () => {
  test("what cannot be read, is not metered or differs is told class by class, and none of it counts as agreeing", async () => {
    const { exitCode, stdout, stderr } = await tallygate(["verify", path.join(FIXTURES, "differing")])
    expect([exitCode, stderr]).toEqual([1, ""])
    expect(stdout).toMatch(/^chat-sse\.json: disagrees\n/)
    expect(stdout).toContain(`
  input_tokens_uncached  expected 7     got 8
  output_tokens          expected 3     got 2
  service_tier           expected flex  got standard
  provider_cost_usd      expected 0.1   got none
`)
    expect(stdout).toContain("unknown-endpoint.json: not read: no endpoint is known at POST /v3/telepathy\n")
    expect(stdout).toMatch(/unknown-member\.json: unreadable: expected: .*"telepathy_tokens"\n/)
    expect(stdout).toMatch(/unreadable\.json: unreadable: no JSON: /)
    expect(stdout).toMatch(/\nagree 0 of 4\n$/)
  })

  test("JSON, compressed JSON, streams, cut streams and refusals are read as the data plane reads them", async () => {
    expect(await tallygate(["verify", "agreeing"], { cwd: FIXTURES })).toEqual({
      exitCode: 0,
      stdout: "agree 8 of 8\n",
      stderr: "",
    })
  })

  test("the exchanges of every format that is known agree", async () => {
    const { exitCode, stdout } = await tallygate(["verify", path.join(FIXTURES, "../exchanges")])
    expect(stdout).toMatch(/^agree (\d+) of \1\n$/)
    expect(exitCode).toBe(0)
  })

  test("folders below are read too, and one that differs is enough for 1", async () => {
    const { exitCode, stdout } = await tallygate(["verify", FIXTURES])
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/\nagree 8 of 12\n$/)
  })

  test("programs get every exchange with its verdict", async () => {
    const { exitCode, stdout } = await tallygate(["verify", FIXTURES, "--json"])
    expect(exitCode).toBe(1)
    const { agree, of, exchanges } = JSON.parse(stdout)
    expect([agree, of, exchanges.length]).toEqual([8, 12, 12])
    expect(exchanges).toContainEqual({
      file: path.join("agreeing", "chat-json.json"),
      verdict: "agrees",
      reason: null,
      differences: [],
    })
    expect(exchanges.find(({ file }: { file: string }) => file.endsWith("chat-sse.json")).differences[0]).toEqual({
      class: "input_tokens_uncached",
      expected: "7",
      got: "8",
    })
  })

  test("a folder that is not there, or holds nothing to verify, is no success", async () => {
    const empty = mkdtempSync(path.join(tmpdir(), "tallygate-verify-"))
    try {
      const found = await tallygate(["verify", empty])
      expect([found.exitCode, found.stderr]).toEqual([1, `tallygate verify: there is no *.json file in ${empty}.\n`])
      const missing = await tallygate(["verify", "nowhere", "--json"], { cwd: empty })
      expect(missing.exitCode).toBe(1)
      expect(JSON.parse(missing.stdout)).toEqual({ kind: "failed", reason: "nowhere is no folder that can be read." })
    } finally {
      rmSync(empty, { recursive: true })
    }
  })
})
