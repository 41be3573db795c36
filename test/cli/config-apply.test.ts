import { writeFileSync } from "node:fs"
import path from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Present, planOf } from "../../src/cli/apply-plan.ts"
import { runConfigApply } from "../../src/cli/config-apply.ts"
import type { DeclaredOrganization } from "../../src/config/schema.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

let app: TestApp
beforeAll(async () => {
  app = await startTestApp("sandbox: true")
})
afterAll(() => app?.close())

const DECLARED = `
organizations:
  - id: acme
    name: Acme
    time_zone: Europe/Berlin
    limits:
      - { kind: usd, window: month, cap: "5000.00" }
    projects:
      - id: acme-search
        name: search
        client: Acme Retail
        cost_center: "4711"
        limits:
          - { kind: requests, window: day, cap: 100, on_store_failure: deny }
          - { kind: requests, window: day, cap: 10, each: user, enforcement: soft }
      - { id: acme-chat, name: chat }
`

async function apply(yaml: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = path.join(app.dataDir, "declared.yaml")
  writeFileSync(file, yaml)
  let [stdout, stderr] = ["", ""]
  const out = {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  }
  const env = { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }
  const code = await runConfigApply(["--file", file, ...args], env, app.dataDir, out)
  return { code, stdout, stderr }
}

const rows = async (route: string) =>
  (await app.admin("GET", `/admin/v1/${route}`)).body.data as unknown as Record<string, unknown>[]

describe("config apply", () => {
  test("refuses a declaration that is wrong, with its line, and an installation that is not there", async () => {
    const wrong = await apply(
      "organizations:\n  - { id: a, name: A, limits: [{ kind: usd, window: month, cap: 5 }] }\n",
    )
    expect(wrong).toMatchObject({ code: 1, stdout: "" })
    expect(wrong.stderr).toMatch(
      /declared\.yaml:2:\d+: organizations\[0\]\.limits\[0\]\.cap: found 5, expected a decimal string/,
    )
    const out = { stdout: { write: () => true }, stderr: { write: () => true } }
    const nobody = { TALLYGATE_URL: "http://127.0.0.1:9", TALLYGATE_ADMIN_KEY: ADMIN_KEY }
    expect(await runConfigApply([], nobody, app.dataDir, out)).toBe(1)
  })

  test("shows what it would do and does nothing, then does exactly that, then has nothing to do", async () => {
    const before = await rows("organizations")
    const planned = await apply(DECLARED, "--dry-run")
    expect(planned).toMatchObject({ code: 0, stderr: "" })
    expect(planned.stdout).toBe(
      `+ organization acme  name: Acme, time_zone: Europe/Berlin
+ limit acme  kind: usd, window: month, cap: 5000.00
+ project acme/acme-search  name: search, client: Acme Retail, cost_center: 4711
+ limit acme/acme-search  kind: requests, window: day, cap: 100, on_store_failure: deny
+ limit acme/acme-search  kind: requests, window: day, each: user, cap: 10, enforcement: soft
+ project acme/acme-chat  name: chat
6 changes to be made.
`,
    )
    expect(await rows("organizations")).toEqual(before)
    expect((await apply(DECLARED)).stdout).toBe(planned.stdout.replace("to be made", "made"))
    const acme = (await rows("organizations")).find(({ external_id: id }) => id === "acme")
    expect(acme).toMatchObject({ name: "Acme", time_zone: "Europe/Berlin" })
    const projects = await rows(`projects?organization_id=${acme?.id}`)
    expect(projects.map(({ name, client }) => [name, client]).sort()).toEqual([
      ["chat", ""],
      ["default", ""],
      ["search", "Acme Retail"],
    ])
    expect(await apply(DECLARED)).toMatchObject({
      code: 0,
      stdout: "Everything that is declared is there as it is declared.\n",
    })
  })

  test("changes what differs, by its id and not by its name, and leaves alone what is not declared", async () => {
    const acme = (await rows("organizations")).find(({ external_id: id }) => id === "acme")
    const organizationId = String(acme?.id)
    await app.admin("POST", "/admin/v1/limits", {
      scope: { organization_id: organizationId, tool: "crawler" },
      kind: "usd",
      window: "month",
      cap: "1.00",
    })
    await app.admin("POST", "/admin/v1/limits", {
      scope: { organization_id: organizationId },
      kind: "tokens",
      window: "day",
      cap: 7,
    })
    const changed = DECLARED.replace("name: search", "name: find").replace('cap: "5000.00"', 'cap: "6000"')
    const { stdout } = await apply(changed, "--json")
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "applied",
      changes: [
        { act: "change", what: "limit", of: ["acme"] },
        {
          act: "change",
          what: "project",
          of: ["acme", "acme-search"],
          members: [{ name: "name", from: "search", to: "find" }],
        },
      ],
    })
    const limits = await rows(`limits?organization_id=${organizationId}`)
    expect(limits.map(({ kind, cap }) => [kind, cap]).sort()).toEqual([
      ["tokens", "7"],
      ["usd", "1"],
      ["usd", "6000"],
    ])
    const [entry] = await rows("audit?action=limit.change&limit=1")
    expect(entry).toMatchObject({ actor: "environment", organization_id: organizationId })
  })
})

test("what was carried out needs no further change, whatever was there before", () => {
  const names = fc.constantFrom("a", "b", "c")
  const declaredLimits = fc.uniqueArray(
    fc.record({
      kind: fc.constantFrom("usd" as const, "tokens" as const),
      window: fc.constantFrom("day" as const, "month" as const),
      cap: fc.nat(9).map((cap) => String(cap)),
      enforcement: fc.constantFrom("hard" as const, "soft", undefined),
      unbounded: fc.constantFrom("deny" as const, undefined),
      each: fc.constantFrom("user" as const, undefined),
    }),
    { selector: ({ kind, window, each }) => `${kind} ${window} ${each}` },
  )
  const declared = fc.record({
    id: fc.constant("o"),
    name: names,
    limits: declaredLimits,
    projects: fc.uniqueArray(fc.record({ id: names, name: names, client: names, limits: declaredLimits }), {
      selector: ({ id }) => id,
    }),
  })
  /** An installation that has exactly this. */
  const presentOf = (organization: DeclaredOrganization): Present => {
    const limitsOf = (limits: DeclaredOrganization["limits"]) =>
      limits.map(({ enforcement = "hard", unbounded = "clamp", each = "", ...limit }, index) => {
        const rest = { id: `l${index}`, cap: String(limit.cap), on_store_failure: "local" }
        return { ...limit, ...rest, enforcement, unbounded, each }
      })
    return {
      organization: { id: "org_1", name: organization.name, time_zone: "UTC" },
      organizationLimits: limitsOf(organization.limits),
      projects: new Map(
        organization.projects.map((project) => [
          project.id,
          {
            id: `p-${project.id}`,
            name: project.name,
            client: project.client ?? "",
            cost_center: "",
            limits: limitsOf(project.limits),
          },
        ]),
      ),
    }
  }
  fc.assert(
    fc.property(declared, declared, (wanted, before) => {
      expect(planOf(wanted, presentOf(wanted))).toEqual([])
      const plan = planOf(wanted, presentOf(before))
      const made = plan.filter(({ act, what }) => act === "create" && what === "project").map(({ of }) => of[1])
      const there = new Set(before.projects.map(({ id }) => id))
      expect(made).toEqual(wanted.projects.map(({ id }) => id).filter((id) => !there.has(id)))
      for (const { act, members } of plan)
        if (act === "change") expect(members.some(({ from, to }) => from !== to)).toBe(true)
    }),
  )
})
