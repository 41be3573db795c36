/** Makes the story's people, projects, keys and limits through the admin API, as an admin would. */
import { NOBODY } from "../../src/identity/counted-apart.ts"
import {
  MORE_LIMITS,
  ORGANIZATION,
  ORGANIZATION_BUDGET,
  PEOPLE,
  PROJECTS,
  RAISED,
  type StoryKey,
  type StoryLimit,
} from "./story.ts"

export type AskAdmin = (
  method: string,
  route: string,
  body?: unknown,
) => Promise<{ readonly status: number; readonly body: unknown }>

export type MadeKey = {
  readonly id: string
  /** The secret, which the API shows this once. */
  readonly key: string
  readonly organizationId: string
  readonly projectId: string
  readonly userId: string
  /** Every limit that counts its calls. */
  readonly limits: readonly CountedLimit[]
  readonly story: StoryKey
}

export type CountedLimit = {
  readonly id: string
  readonly subject: string
  readonly kind: string
  readonly window: string
  readonly time_zone: string
  readonly anchor_day: number
  /** Of a rolling window; null elsewhere. */
  readonly days: number | null
}

type Made = Omit<CountedLimit, "subject"> & {
  readonly key: string
  readonly limits: readonly Omit<CountedLimit, "subject">[]
}

/** @throws where the API refuses, with what it said */
export async function makePeople(ask: AskAdmin): Promise<readonly MadeKey[]> {
  const made = async (method: string, route: string, body?: unknown): Promise<Made> => {
    const answer = await ask(method, route, body)
    if (answer.status >= 300)
      throw new Error(`${method} ${route} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    return answer.body as Made
  }
  const { body } = await ask("GET", "/admin/v1/organizations")
  const [organization] = (body as { data: { id: string }[] }).data
  if (organization === undefined) throw new Error("The installation has no organization.")
  await made("PATCH", `/admin/v1/organizations/${organization.id}`, ORGANIZATION)
  const shared = await made("POST", "/admin/v1/limits", {
    scope: { organization_id: organization.id },
    ...{ kind: "usd", window: "month", cap: ORGANIZATION_BUDGET, time_zone: ORGANIZATION.time_zone },
  })
  const users = new Map<string, string>()
  for (const person of PEOPLE) users.set(person.name, (await made("POST", "/admin/v1/users", person)).id)
  const keys: MadeKey[] = []
  const projects = new Map<string, string>()
  for (const project of PROJECTS) {
    const { id: projectId } = await made("POST", "/admin/v1/projects", {
      name: project.name,
      cost_center: project.costCenter,
    })
    projects.set(project.name, projectId)
    const budget = await made("POST", "/admin/v1/limits", {
      scope: { project_id: projectId },
      ...{ kind: "usd", window: "month", cap: project.budget, time_zone: ORGANIZATION.time_zone },
    })
    if (project.name === RAISED.project) {
      const until = new Date(Date.now() + RAISED.days * 86_400_000).toISOString()
      await made("POST", `/admin/v1/limits/${budget.id}/raises`, { cap: RAISED.cap, until })
    }
    for (const story of project.keys) {
      const userId = story.owner === undefined ? "" : (users.get(story.owner) ?? "")
      const owner = userId === "" ? {} : { user_id: userId }
      if (userId !== "") await made("PUT", `/admin/v1/projects/${projectId}/members/${userId}`)
      const wanted = { name: story.name, project_id: projectId, limits: story.limits, ...owner }
      const { id, key, limits: own } = await made("POST", "/admin/v1/keys", wanted)
      const limits = [
        { ...shared, subject: organization.id },
        { ...budget, subject: projectId },
        ...own.map((limit) => ({ ...limit, subject: id })),
      ]
      keys.push({ id, key, organizationId: organization.id, projectId, userId, limits, story })
    }
  }
  const ids = { organization: organization.id, projects, users }
  let counted: readonly MadeKey[] = keys
  for (const more of MORE_LIMITS) {
    const scope = scopeOf(more, ids, keys)
    const limit = await made("POST", "/admin/v1/limits", { scope, ...more.limit })
    counted = counted.map((key) => (isCounted(more, key, scope) ? countedBy(key, limit, scope) : key))
  }
  return counted
}

type Scope = Readonly<Record<string, string>>

function scopeOf(
  { on, each, tool }: StoryLimit,
  ids: { organization: string; projects: ReadonlyMap<string, string>; users: ReadonlyMap<string, string> },
  keys: readonly MadeKey[],
): Scope {
  const narrowed = { ...(each === undefined ? {} : { each }), ...(tool === undefined ? {} : { tool }) }
  if (on === "organization") return { organization_id: ids.organization, ...narrowed }
  if ("project" in on) return { project_id: ids.projects.get(on.project) ?? "", ...narrowed }
  if ("user" in on) return { user_id: ids.users.get(on.user) ?? "", ...narrowed }
  return { key_id: keys.find(({ story }) => story.name === on.key)?.id ?? "", ...narrowed }
}

function isCounted({ tool }: StoryLimit, key: MadeKey, scope: Scope): boolean {
  const own = [key.organizationId, key.projectId, key.userId, key.id]
  const subject = scope.organization_id ?? scope.project_id ?? scope.user_id ?? scope.key_id
  return own.includes(subject ?? "") && (tool === undefined || tool === key.story.tool)
}

function countedBy(key: MadeKey, limit: Omit<CountedLimit, "subject">, scope: Scope): MadeKey {
  const own = scope.organization_id ?? scope.project_id ?? scope.user_id ?? scope.key_id ?? ""
  const subject = scope.each === undefined ? own : `${own} ${key.userId || NOBODY}`
  return { ...key, limits: [...key.limits, { ...limit, subject }] }
}
