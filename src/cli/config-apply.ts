/**
 * `tallygate config apply`: brings the organizations, projects and limits of a running Tallygate to what the
 * configuration declares, through its admin API. What is not declared stays as it is.
 */
import { z } from "zod"
import type { DeclaredOrganization } from "../config/schema.ts"
import { anchorDayMax, LIMIT_KINDS, LIMIT_WINDOWS } from "../identity/limit.ts"
import { AdminClient } from "./admin-client.ts"
import { type Change, type Member, type Present, type PresentLimit, type PresentProject, planOf } from "./apply-plan.ts"
import { type CommandRun, runCommand, toJson } from "./command.ts"
import { readConfig } from "./read-config.ts"

const SHAPE = {
  name: "config apply",
  about:
    "Makes the organizations, projects and limits that the configuration declares, and changes those that differ, in the " +
    "Tallygate at TALLYGATE_URL. What is not declared stays as it is.",
  options: {
    file: {
      type: "string",
      value: "FILE",
      text: "the file to apply (default: TALLYGATE_CONFIG, else proxy.config.yaml)",
    },
    "dry-run": { type: "boolean", text: "show what would be done, and do nothing" },
  },
} as const

const created = z.object({ id: z.string() })
const organizationRow = created.extend({
  external_id: z.string().nullable(),
  name: z.string(),
  time_zone: z.string(),
})
const projectRow = created.extend({
  external_id: z.string().nullable(),
  name: z.string(),
  client: z.string(),
  cost_center: z.string(),
})
const limitRow = created.extend({
  kind: z.enum(LIMIT_KINDS),
  window: z.enum(LIMIT_WINDOWS),
  days: z.number().nullable(),
  cap: z.string(),
  time_zone: z.string(),
  anchor_day: z.number(),
  on_store_failure: z.string(),
  enforcement: z.string(),
  unbounded: z.string(),
  slice_tokens: z.number().nullable(),
  thresholds: z.array(z.number()),
  scope: z.object({ each: z.string().optional(), tool: z.string().optional(), tag: z.string().optional() }),
})

/** Runs the command with the arguments that follow `config apply`; resolves with the exit code. */
export const runConfigApply: CommandRun = (args, env, cwd, out) =>
  runCommand(SHAPE, args, out, async ({ values, isJson }) => {
    const { config } = readConfig(env, cwd, values.file)
    const client = new AdminClient(env)
    const isDryRun = values["dry-run"] === true
    const changes: Change[] = []
    const rows = await client.askAll(organizationRow, "/admin/v1/organizations", {})
    for (const declared of config.organizations) {
      const row = rows.find(({ external_id: id }) => id === declared.id) ?? null
      const present = await presentOf(client, declared, row)
      const plan = planOf(declared, present)
      if (!isDryRun) await carryOut(client, plan, present)
      changes.push(...plan)
    }
    if (isJson) out.stdout.write(toJson({ kind: isDryRun ? "planned" : "applied", changes }))
    else out.stdout.write(described(changes, isDryRun))
    return 0
  })

async function presentOf(
  client: AdminClient,
  declared: DeclaredOrganization,
  organization: z.infer<typeof organizationRow> | null,
): Promise<Present> {
  if (organization === null) return { organization, organizationLimits: [], projects: new Map() }
  const { id } = organization
  const rows = await client.askAll(projectRow, "/admin/v1/projects", { organization_id: id })
  const projects = new Map<string, PresentProject>()
  for (const project of declared.projects) {
    const row = rows.find(({ external_id }) => external_id === project.id)
    if (row !== undefined) projects.set(project.id, { ...row, limits: await limitsOf(client, { project_id: row.id }) })
  }
  return { organization, organizationLimits: await limitsOf(client, { organization_id: id }), projects }
}

async function limitsOf(client: AdminClient, of: Readonly<Record<string, string>>): Promise<readonly PresentLimit[]> {
  const rows = await client.askAll(limitRow, "/admin/v1/limits", of)
  return rows.map(({ scope: { each = "", tool = "", tag = "" }, ...row }) => ({ ...row, each, tool, tag }))
}

/** Things are made before what stands on them, so their ids are known by then. */
async function carryOut(client: AdminClient, plan: readonly Change[], present: Present): Promise<void> {
  let organizationId = present.organization?.id ?? ""
  const projectIds = new Map([...present.projects].map(([externalId, { id }]) => [externalId, id]))
  for (const change of plan) {
    const [ofOrganization, ofProject] = change.of
    const members = Object.fromEntries(change.members.map(({ name, to }) => [name, to]))
    if (change.what === "limit") {
      const projectId = ofProject === undefined ? undefined : projectIds.get(ofProject)
      const scope = projectId === undefined ? { organization_id: organizationId } : { project_id: projectId }
      const there = ofProject === undefined ? present.organizationLimits : present.projects.get(ofProject)?.limits
      const before = there?.find(({ id }) => id === change.id)
      await sendLimit(client, change, members, scope, before)
    } else if (change.act === "change") {
      await client.ask(created, "PATCH", `/admin/v1/${change.what}s/${change.id}`, members)
    } else if (ofProject === undefined) {
      const body = { ...members, external_id: ofOrganization }
      organizationId = (await client.ask(created, "POST", "/admin/v1/organizations", body)).id
    } else {
      const body = { ...members, external_id: ofProject, organization_id: organizationId }
      projectIds.set(ofProject, (await client.ask(created, "POST", "/admin/v1/projects", body)).id)
    }
  }
}

async function sendLimit(
  client: AdminClient,
  { act, id }: Change,
  { kind, window, days, each, tool, tag, ...members }: Readonly<Record<string, unknown>>,
  scope: object,
  before: PresentLimit | undefined,
): Promise<void> {
  if (act === "change") {
    await client.ask(created, "PATCH", `/admin/v1/limits/${id}`, members)
    return
  }
  // What is not declared stays as it is, also of a limit that takes the place of another.
  const stays = before === undefined ? {} : keptOf(before)
  const body = { scope: { ...scope, each, tool, tag }, kind, window, days, ...stays, ...members }
  await client.ask(created, "POST", "/admin/v1/limits", body)
  // The new one is in force by now, so that no call is without a limit.
  if (act === "replace") await client.ask(created, "DELETE", `/admin/v1/limits/${id}`)
}

function keptOf({ window, cap, time_zone, anchor_day, on_store_failure, enforcement, thresholds }: PresentLimit) {
  const hasAnchor = anchorDayMax(window) > 0
  return { cap, time_zone, ...(hasAnchor ? { anchor_day } : {}), on_store_failure, enforcement, thresholds }
}

function described(changes: readonly Change[], isDryRun: boolean): string {
  const lines = changes.map(({ act, what, of, members }) => {
    const told = members.map(({ name, from, to }) => {
      if (String(from) === String(to)) return `${name} ${shown(to)}`
      return from === null ? `${name}: ${shown(to)}` : `${name}: ${shown(from)} -> ${shown(to)}`
    })
    const note = act === "replace" ? " (a new limit, with nothing used, in the place of the one before)" : ""
    return `${act === "create" ? "+" : "~"} ${what} ${of.join("/")}  ${told.join(", ")}${note}\n`
  })
  const count = changes.length === 1 ? "1 change" : `${changes.length} changes`
  if (changes.length === 0) return "Everything that is declared is there as it is declared.\n"
  return `${lines.join("")}${count} ${isDryRun ? "to be made" : "made"}.\n`
}

function shown(value: Member["to"]): string {
  return typeof value === "object" ? `[${value.join(", ")}]` : String(value)
}
