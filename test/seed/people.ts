/** Who makes the seeded calls: organizations with projects, users and keys, and how each key is used. The same for the same seed. */
import { randomFrom } from "../reporting/usage-database.ts"

export type SeedOrganization = {
  readonly id: string
  readonly name: string
  readonly timeZone: string
  /** Its part of all calls. */
  readonly weight: number
  readonly projects: number
}

export const ORGANIZATIONS: readonly SeedOrganization[] = [
  { id: "org_seed_harbour", name: "Harbour Analytics", timeZone: "Europe/Berlin", weight: 0.45, projects: 12 },
  { id: "org_seed_juniper", name: "Juniper Health", timeZone: "America/New_York", weight: 0.3, projects: 8 },
  { id: "org_seed_kestrel", name: "Kestrel Retail", timeZone: "Asia/Kolkata", weight: 0.2, projects: 5 },
  { id: "org_seed_lantern", name: "Lantern Studio", timeZone: "Australia/Adelaide", weight: 0.05, projects: 2 },
]

const KEYS_PER_PROJECT = 4
const USERS_PER_PROJECT = 4

export type SeedPerson = { readonly id: string; readonly organizationId: string; readonly name: string }
export type SeedProject = SeedPerson & { readonly client: string; readonly costCenter: string }
export type SeedKey = SeedPerson & { readonly projectId: string; readonly userId: string }

/** One way in which a key is used; calls fall on them by weight. */
export type SeedProfile = {
  readonly organizationId: string
  readonly projectId: string
  readonly userId: string
  readonly keyId: string
  readonly provider: string
  readonly account: string
  readonly model: string
  readonly endpoint: string
  readonly tool: string
  readonly operation: string
  readonly isStream: boolean
  readonly tags: readonly string[]
  /** Mean tokens of a call. */
  readonly inputTokens: number
  readonly outputTokens: number
  /** Part of the input that is read from a cache. */
  readonly cached: number
  /** Milliseconds. */
  readonly durationMs: number
  readonly weight: number
}

export type SeedPeople = {
  readonly projects: readonly SeedProject[]
  readonly users: readonly SeedPerson[]
  readonly keys: readonly SeedKey[]
  readonly profiles: readonly SeedProfile[]
}

const MODELS = [
  {
    provider: "openai",
    model: "gpt-5-mini",
    endpoint: "chat.completions",
    input: 2_400,
    output: 380,
    durationMs: 2_100,
    weight: 6,
  },
  {
    provider: "openai",
    model: "gpt-5",
    endpoint: "responses",
    input: 6_200,
    output: 900,
    durationMs: 9_000,
    weight: 2,
  },
  {
    provider: "openai",
    model: "gpt-4o-mini",
    endpoint: "chat.completions",
    input: 1_200,
    output: 220,
    durationMs: 1_300,
    weight: 4,
  },
  {
    provider: "openai",
    model: "text-embedding-3-small",
    endpoint: "embeddings",
    input: 420,
    output: 0,
    durationMs: 120,
    weight: 5,
  },
  {
    provider: "anthropic",
    model: "claude-sonnet-5",
    endpoint: "messages",
    input: 9_800,
    output: 700,
    durationMs: 7_500,
    weight: 4,
  },
  {
    provider: "anthropic",
    model: "claude-haiku-4-5",
    endpoint: "messages",
    input: 2_100,
    output: 300,
    durationMs: 1_700,
    weight: 3,
  },
  {
    provider: "google",
    model: "gemini-2.5-flash",
    endpoint: "generate_content",
    input: 3_000,
    output: 350,
    durationMs: 1_500,
    weight: 2,
  },
  // Not in the price book: an unpriced corner, as every installation has one.
  {
    provider: "acme",
    model: "acme-internal-7b",
    endpoint: "chat.completions",
    input: 900,
    output: 150,
    durationMs: 900,
    weight: 0.1,
  },
] as const

const TOOLS = ["support-assistant", "code-review", "search-index", "report-writer", "catalogue", "triage", ""] as const
const OPERATIONS = ["answer", "summarize", "classify", "embed", "extract", "rewrite"] as const
const CLIENTS = ["Northwind", "Brightwater", "Internal", "Cobalt Mutual", ""] as const

export function seedPeople(seed: number): SeedPeople {
  const random = randomFrom(seed)
  const pick = <Value>(values: readonly Value[]): Value => {
    const value = values[Math.floor(random() * values.length)]
    if (value === undefined) throw new Error("There is nothing to pick from.")
    return value
  }
  const projects: SeedProject[] = []
  const users: SeedPerson[] = []
  const keys: SeedKey[] = []
  const profiles: SeedProfile[] = []
  for (const organization of ORGANIZATIONS) {
    const short = organization.id.replace("org_seed_", "")
    for (let p = 1; p <= organization.projects; p++) {
      const projectId = `proj_seed_${short}_${p}`
      const client = pick(CLIENTS)
      projects.push({
        id: projectId,
        organizationId: organization.id,
        name: `${short} project ${p}`,
        client,
        costCenter: `CC-${100 + p}`,
      })
      // The first projects of an organization do most of the work.
      const projectWeight = organization.weight / p ** 0.8
      for (let u = 1; u <= USERS_PER_PROJECT; u++) {
        const id = `user_seed_${short}_${p}_${u}`
        users.push({ id, organizationId: organization.id, name: `${short} member ${p}.${u}` })
      }
      for (let k = 1; k <= KEYS_PER_PROJECT; k++) {
        // Half of the keys belong to a person, half to a service.
        const userId = k % 2 === 0 ? `user_seed_${short}_${p}_${k}` : ""
        const keyId = `key_seed_${short}_${p}_${k}`
        keys.push({ id: keyId, organizationId: organization.id, name: `${short} key ${p}.${k}`, projectId, userId })
        const tool = pick(TOOLS)
        for (const model of [pick(MODELS), pick(MODELS)]) {
          profiles.push({
            ...{ organizationId: organization.id, projectId, userId, keyId, tool },
            ...{ provider: model.provider, account: random() < 0.8 ? "main" : "spare", model: model.model },
            endpoint: model.endpoint,
            operation: model.endpoint === "embeddings" ? "embed" : pick(OPERATIONS),
            isStream: model.output > 0 && random() < 0.6,
            tags: random() < 0.5 ? [`team:${short}`, "env:prod"] : [`team:${short}`],
            inputTokens: Math.round(model.input * (0.5 + random())),
            outputTokens: Math.round(model.output * (0.5 + random())),
            cached: random() < 0.5 ? 0 : random() * 0.8,
            durationMs: model.durationMs,
            weight: projectWeight * model.weight * (0.3 + random()),
          })
        }
      }
    }
  }
  return { projects, users, keys, profiles }
}
