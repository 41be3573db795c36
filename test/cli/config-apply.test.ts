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
          - { kind: tokens, window: rolling, days: 7, cap: 900, tool: crawler, thresholds: [30, 90] }
          - { kind: tokens, window: week, cap: 50, anchor_day: 3, time_zone: Asia/Tokyo, tag: nightly }
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
+ limit acme/acme-search  kind: tokens, window: rolling, days: 7, tool: crawler, cap: 900, thresholds: [30, 90]
+ limit acme/acme-search  kind: tokens, window: week, tag: nightly, cap: 50, time_zone: Asia/Tokyo, anchor_day: 3
+ project acme/acme-chat  name: chat
8 changes to be made.
`,
    )
    expect(await rows("organizations")).toEqual(before)
    expect((await apply(DECLARED)).stdout).toBe(planned.stdout.replace("to be made", "made"))
    const acme = (await rows("organizations")).find(({ external_id: id }) => id === "acme")
    expect(acme).toMatchObject({ name: "Acme", time_zone: "Europe/Berlin" })
    const projects = await rows(`projects?organization_id=${acme?.id}`)
    const search = projects.find(({ name }) => name === "search")
    const limits = await rows(`limits?project_id=${search?.id}`)
    expect(limits.slice().sort((one, other) => String(one.window).localeCompare(String(other.window)))).toMatchObject([
      ...[{ window: "day" }, { window: "day" }],
      { window: "rolling", days: 7, scope: { tool: "crawler" }, thresholds: [30, 90], cap: "900" },
      { window: "week", anchor_day: 3, time_zone: "Asia/Tokyo", scope: { tag: "nightly" }, cap: "50" },
    ])
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

  test("makes a limit anew whose windows are to begin elsewhere, says so, and keeps what is not declared of it", async () => {
    const acme = (await rows("organizations")).find(({ external_id: id }) => id === "acme")
    const search = (await rows(`projects?organization_id=${acme?.id}`)).find(
      ({ external_id: id }) => id === "acme-search",
    )
    const weekly = async () => (await rows(`limits?project_id=${search?.id}`)).filter(({ window }) => window === "week")
    const [before] = await weekly()
    await app.admin("PATCH", `/admin/v1/limits/${before?.id}`, { enforcement: "shadow", thresholds: [99] })
    const moved = DECLARED.replace("anchor_day: 3, time_zone: Asia/Tokyo", "anchor_day: 5")
    const { stdout } = await apply(moved, "--dry-run")
    expect(stdout).toContain(
      "~ limit acme/acme-search  kind tokens, window week, tag nightly, anchor_day: 3 -> 5 (a new limit, with nothing used, ",
    )
    expect(await weekly()).toHaveLength(1)
    await apply(moved)
    const after = await weekly()
    expect(after).toMatchObject([
      {
        anchor_day: 5,
        time_zone: "Asia/Tokyo",
        cap: "50",
        enforcement: "shadow",
        thresholds: [99],
        scope: { tag: "nightly" },
      },
    ])
    expect(after[0]?.id).not.toBe(before?.id)
    expect((await apply(moved)).stdout).toBe("Everything that is declared is there as it is declared.\n")
  })

  test.each([
    ["{ kind: usd, window: rolling, cap: '5.00' }", "days: found nothing, expected how many days the window is of"],
    ["{ kind: usd, window: day, cap: '5.00', days: 7 }", "days: found 7, expected nothing, since it belongs to"],
    ["{ kind: usd, window: week, cap: '5.00', anchor_day: 8 }", "anchor_day: found 8, expected at most 7 for a week"],
    ["{ kind: usd, window: day, cap: '5.00', time_zone: +01:00 }", "expected an IANA time zone such as Europe/Berlin"],
    ["{ kind: usd, window: day, cap: '-5.00' }", "expected nothing negative"],
    ["{ kind: usd, window: day, cap: '5.00', tool: a, tag: b }", 'tag: found "b", expected nothing beside tool'],
    ["{ kind: usd, window: day, cap: '5.00', thresholds: [80, 50] }", "expected percents that are each larger than"],
  ])("refuses %s with what it expects", async (limit, problem) => {
    const { code, stderr } = await apply(`organizations:\n  - { id: a, name: A, limits: [${limit}] }\n`)
    expect([code, stderr]).toEqual([1, expect.stringContaining(problem)])
  })
})

test("what was carried out needs no further change, whatever was there before", () => {
  const names = fc.constantFrom("a", "b", "c")
  const declaredLimits = fc.uniqueArray(
    fc.record({
      kind: fc.constantFrom("usd" as const, "tokens" as const),
      window: fc.constantFrom("day" as const, "month" as const),
      time_zone: fc.constantFrom("UTC", "Asia/Tokyo", undefined),
      thresholds: fc.constantFrom([50], [30, 90], undefined),
      cap: fc.nat(9).map((cap) => String(cap)),
      enforcement: fc.constantFrom("hard" as const, "soft", undefined),
      unbounded: fc.constantFrom("deny" as const, undefined),
      each: fc.constantFrom("user" as const, undefined),
      tag: fc.constantFrom("nightly", undefined),
    }),
    { selector: ({ kind, window, each, tag }) => `${kind} ${window} ${each} ${tag}` },
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
      limits.map((limit, index) => {
        const {
          enforcement = "hard",
          unbounded = "clamp",
          each = "",
          tag = "",
          time_zone = "UTC",
          thresholds = [1],
        } = limit
        const rest = { id: `l${index}`, cap: String(limit.cap), on_store_failure: "local", days: null, anchor_day: 1 }
        const rules = { enforcement, unbounded, slice_tokens: null, thresholds }
        return { ...limit, ...rest, ...rules, each, tag, time_zone, tool: "" }
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
        if (act !== "create") expect(members.some(({ from, to }) => String(from) !== String(to))).toBe(true)
      for (const { act, members } of plan)
        expect(act === "replace").toBe(
          members.some(({ name, from, to }) => act !== "create" && name === "time_zone" && from !== to),
        )
    }),
  )
})
