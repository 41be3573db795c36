/** Whom the demonstration is about: an organization with teams, people, keys, and how each key is used. */

export const ORGANIZATION = { name: "Northwind Labs", time_zone: "Europe/Berlin" }
export const ORGANIZATION_BUDGET = "400.00"

export type StoryKey = {
  readonly name: string
  /** Name of its owner; absent where it belongs to a program. */
  readonly owner?: string
  readonly limits: readonly {
    readonly kind: string
    readonly window: string
    readonly cap: string | number
    readonly time_zone?: string
  }[]
  /** Calls on a working day, in thousandths of all. */
  readonly weight: number
  readonly tool: string
  readonly models: readonly StoryModel[]
}

export type StoryModel = {
  readonly provider: string
  readonly model: string
  readonly endpoint: string
  /** Mean tokens of a call. */
  readonly input: number
  readonly output: number
  /** Part of the input that is read from a cache. */
  readonly cached: number
  /** Milliseconds. */
  readonly duration: number
}

const sonnet: StoryModel = {
  provider: "anthropic",
  model: "claude-sonnet-5",
  endpoint: "messages",
  input: 64_000,
  output: 1_400,
  cached: 0.78,
  duration: 9_200,
}
const opus: StoryModel = {
  provider: "anthropic",
  model: "claude-opus-5",
  endpoint: "messages",
  input: 52_000,
  output: 2_100,
  cached: 0.6,
  duration: 21_000,
}
const haiku: StoryModel = {
  provider: "anthropic",
  model: "claude-haiku-4-5",
  endpoint: "messages",
  input: 9_000,
  output: 420,
  cached: 0.4,
  duration: 1_900,
}
const terra: StoryModel = {
  provider: "openai",
  model: "gpt-5.6-terra",
  endpoint: "responses",
  input: 38_000,
  output: 1_900,
  cached: 0.5,
  duration: 11_000,
}
const mini: StoryModel = {
  provider: "openai",
  model: "gpt-5.4-mini",
  endpoint: "chat.completions",
  input: 11_000,
  output: 520,
  cached: 0.3,
  duration: 2_300,
}
const flash: StoryModel = {
  provider: "google",
  model: "gemini-3.6-flash",
  endpoint: "generate_content",
  input: 14_000,
  output: 480,
  cached: 0.2,
  duration: 1_700,
}
const pro: StoryModel = {
  provider: "google",
  model: "gemini-3.1-pro-preview",
  endpoint: "generate_content",
  input: 31_000,
  output: 1_300,
  cached: 0.25,
  duration: 8_300,
}
/** In no price book, as every installation has one. */
const inhouse: StoryModel = {
  provider: "openai",
  model: "northwind-rerank-2",
  endpoint: "chat.completions",
  input: 2_000,
  output: 60,
  cached: 0,
  duration: 310,
}

const monthly = (cap: string) => ({ kind: "usd", window: "month", cap, time_zone: ORGANIZATION.time_zone })

export const PROJECTS: readonly {
  readonly name: string
  readonly costCenter: string
  readonly budget: string
  readonly keys: readonly StoryKey[]
}[] = [
  {
    name: "support-copilot",
    costCenter: "CC-210",
    budget: "180.00",
    keys: [
      {
        name: "sup-prod-eu",
        limits: [monthly("60.00"), { kind: "requests", window: "minute", cap: 600 }],
        weight: 260,
        tool: "helpdesk",
        models: [sonnet, haiku],
      },
      { name: "sup-prod-us", limits: [monthly("48.00")], weight: 170, tool: "helpdesk", models: [sonnet, mini] },
      {
        name: "sup-nightly-evals",
        owner: "Mia Okafor",
        limits: [{ kind: "usd", window: "day", cap: "2.50", time_zone: ORGANIZATION.time_zone }],
        weight: 50,
        tool: "evals",
        models: [opus, terra],
      },
      { name: "sup-staging", limits: [], weight: 25, tool: "helpdesk", models: [haiku] },
    ],
  },
  {
    name: "checkout-agent",
    costCenter: "CC-114",
    budget: "37.00",
    keys: [
      { name: "checkout-prod", limits: [monthly("36.00")], weight: 160, tool: "checkout", models: [terra, mini] },
      {
        name: "checkout-dev",
        owner: "Jonas Weber",
        limits: [monthly("5.00")],
        weight: 30,
        tool: "checkout",
        models: [mini],
      },
    ],
  },
  {
    name: "search-rank",
    costCenter: "CC-114",
    budget: "20.00",
    keys: [
      {
        name: "search-prod",
        limits: [{ kind: "tokens", window: "day", cap: 900_000 }],
        weight: 150,
        tool: "search",
        models: [flash, inhouse],
      },
    ],
  },
  {
    name: "legal-review",
    costCenter: "CC-305",
    budget: "60.00",
    keys: [
      {
        name: "contracts",
        owner: "Ana Duarte",
        limits: [monthly("40.00")],
        weight: 45,
        tool: "contracts",
        models: [opus, pro],
      },
      {
        name: "claude-code-ana",
        owner: "Ana Duarte",
        limits: [monthly("20.00")],
        weight: 40,
        tool: "claude-code",
        models: [sonnet],
      },
    ],
  },
  {
    name: "data-platform",
    costCenter: "CC-402",
    budget: "25.00",
    keys: [
      { name: "catalogue-batch", owner: "Li Chen", limits: [], weight: 70, tool: "catalogue", models: [pro, flash] },
    ],
  },
]

export const PEOPLE = [
  { name: "Ana Duarte", email: "ana@northwind.example" },
  { name: "Mia Okafor", email: "m.okafor@northwind.example" },
  { name: "Jonas Weber", email: "jonas@northwind.example" },
  { name: "Li Chen", email: "li@northwind.example" },
] as const

/** Limits beside those of keys and projects: on whom, whom they count apart, and what they do at their cap. */
export type StoryLimit = {
  readonly on: { readonly project: string } | { readonly user: string } | { readonly key: string } | "organization"
  readonly each?: "user"
  readonly tool?: string
  readonly limit: Readonly<Record<string, string | number>>
}
export const MORE_LIMITS: readonly StoryLimit[] = [
  {
    on: { project: "legal-review" },
    each: "user",
    limit: { kind: "usd", window: "week", cap: "12.00", time_zone: ORGANIZATION.time_zone },
  },
  { on: { user: "Ana Duarte" }, limit: { ...monthly("70.00"), enforcement: "soft" } },
  {
    on: "organization",
    tool: "evals",
    limit: {
      ...{ kind: "tokens", window: "month", cap: 40_000_000, time_zone: ORGANIZATION.time_zone },
      enforcement: "soft",
    },
  },
  {
    on: { project: "data-platform" },
    limit: {
      ...{ kind: "usd", window: "day", cap: "0.60", time_zone: ORGANIZATION.time_zone },
      enforcement: "shadow",
    },
  },
  {
    on: { project: "search-rank" },
    limit: { kind: "usd", window: "rolling", days: 7, cap: "9.00", time_zone: ORGANIZATION.time_zone },
  },
  { on: { key: "sup-staging" }, limit: { kind: "requests", window: "minute", cap: 4 } },
  { on: { project: "checkout-agent" }, limit: { kind: "concurrency", window: "none", cap: 20 } },
]
/** The project whose budget is larger for some days, and how large. */
export const RAISED = { project: "checkout-agent", cap: "52.00", days: 5 } as const
