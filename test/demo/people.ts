/** Makes the story's people, projects, keys and limits through the admin API, as an admin would. */
import { ORGANIZATION, ORGANIZATION_BUDGET, PEOPLE, PROJECTS, type StoryKey } from "./story.ts"

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
  for (const project of PROJECTS) {
    const { id: projectId } = await made("POST", "/admin/v1/projects", {
      name: project.name,
      cost_center: project.costCenter,
    })
    const budget = await made("POST", "/admin/v1/limits", {
      scope: { project_id: projectId },
      ...{ kind: "usd", window: "month", cap: project.budget, time_zone: ORGANIZATION.time_zone },
    })
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
  return keys
}
