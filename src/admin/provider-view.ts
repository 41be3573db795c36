/** Providers as the admin API shows them, from the configuration and the database together, and never a credential. */
import { z } from "@hono/zod-openapi"
import { accountSubject } from "../identity/account-limit.ts"
import { type AccountSecret, DIALECTS, last4Of, type Unusable } from "../identity/provider-account.ts"
import { type AccountRow, type ProviderRow, readAccounts, readProviders } from "../identity/provider-account-rows.ts"
import type { Sql } from "../platform/postgres.ts"
import type { SecretBox } from "../platform/secret-box.ts"
import { iso } from "./answers.ts"

/** A provider of the configuration, or a built-in one. */
export type ConfiguredProvider = {
  readonly name: string
  readonly dialect: (typeof DIALECTS)[number]
  readonly baseUrl: string
  readonly region: string
  readonly pricedAs: string
  readonly includeUsage: boolean
  readonly headerNames: readonly string[]
  /** Whether callers bring credentials of their own: it takes no accounts then. */
  readonly isCallerPaid: boolean
  /** Patterns that lead to it. */
  readonly models: readonly string[]
  readonly accounts: readonly {
    readonly name: string
    readonly secret: AccountSecret | null
    readonly weight: number
    readonly region: string
  }[]
}

/** What the admin API is given of providers, beside the database. */
export type ProviderOptions = {
  readonly configured: () => readonly ConfiguredProvider[]
  readonly box: SecretBox
  /** What is stored and does not open in this process. */
  readonly unusable: () => readonly Unusable[]
}

const source = z.enum(["config", "database"])
const shadows = z
  .boolean()
  .openapi({ description: "Whether the database has one of this name too, which the configuration's stands before." })

export const accountOutput = z
  .object({
    name: z.string(),
    source,
    shadows_database: shadows,
    last4: z
      .string()
      .openapi({ description: "The end of the credential; '' where there is none, or it is too short." }),
    weight: z.number(),
    region: z.string().nullable().openapi({ description: "null: the provider's." }),
    unusable: z
      .string()
      .nullable()
      .openapi({ description: "Why this process cannot use it, although it is enabled; null where it can." }),
    disabled_at: z.string().nullable(),
    created_at: z.string().nullable().openapi({ description: "null: of the configuration." }),
    credential_set_at: z.string().nullable(),
  })
  .openapi("ProviderAccount")

export const providerOutput = z
  .object({
    name: z.string(),
    source,
    shadows_database: shadows,
    dialect: z.enum(DIALECTS),
    base_url: z.string(),
    region: z.string(),
    priced_as: z.string(),
    include_usage: z.boolean(),
    models: z.array(z.string()),
    header_names: z.array(z.string()).openapi({ description: "Further headers; their values are not shown." }),
    disabled_at: z.string().nullable(),
    created_at: z.string().nullable().openapi({ description: "null: of the configuration." }),
    accounts: z.array(accountOutput),
  })
  .openapi("Provider")

export type ShownProvider = z.infer<typeof providerOutput>
export type ShownAccount = z.infer<typeof accountOutput>

/** All providers by name: those of the configuration in its order, then the others of the database. */
export async function listProviders(sql: Sql, options: ProviderOptions): Promise<ShownProvider[]> {
  const rows = await readProviders(sql)
  const accounts = Map.groupBy(await readAccounts(sql), ({ provider }) => provider)
  const faults = new Map(options.unusable().map(({ name, reason }) => [name, reason]))
  const configured = options.configured()
  const names = new Set(configured.map(({ name }) => name))
  const stored = new Set(rows.map(({ name }) => name))
  return [
    ...configured.map((one) => shownConfigured(one, stored.has(one.name), accounts.get(one.name) ?? [], faults)),
    ...rows.filter(({ name }) => !names.has(name)).map((row) => shownRow(row, accounts.get(row.name) ?? [], faults)),
  ]
}

/** Whether there is an account that limits know by this name. */
export async function isAccount(sql: Sql, options: ProviderOptions, subject: string): Promise<boolean> {
  const providers = await listProviders(sql, options)
  return providers.some(({ name, accounts }) =>
    accounts.some((account) => accountSubject(name, account.name) === subject),
  )
}

type Faults = ReadonlyMap<string, string>

function shownConfigured(
  provider: ConfiguredProvider,
  isStored: boolean,
  rows: readonly AccountRow[],
  faults: Faults,
): ShownProvider {
  const names = new Set(provider.accounts.map(({ name }) => name))
  const stored = new Set(rows.map(({ name }) => name))
  const own = provider.accounts.map(({ name, secret, weight, region }): ShownAccount => {
    const last4 = secret === null ? "" : last4Of(secret)
    const never = { unusable: null, disabled_at: null, created_at: null, credential_set_at: null }
    return { name, source: "config", shadows_database: stored.has(name), last4, weight, region, ...never }
  })
  return {
    name: provider.name,
    source: "config",
    shadows_database: isStored,
    dialect: provider.dialect,
    base_url: provider.baseUrl,
    region: provider.region,
    priced_as: provider.pricedAs,
    include_usage: provider.includeUsage,
    models: [...provider.models],
    header_names: [...provider.headerNames],
    disabled_at: null,
    created_at: null,
    accounts: [...own, ...rows.filter(({ name }) => !names.has(name)).map((row) => shownAccount(row, faults))],
  }
}

function shownRow(row: ProviderRow, accounts: readonly AccountRow[], faults: Faults): ShownProvider {
  const { name, dialect, base_url, region, include_usage, models, header_names } = row
  return {
    name,
    source: "database",
    shadows_database: false,
    dialect,
    base_url,
    region,
    priced_as: row.priced_as || name,
    include_usage,
    models,
    header_names,
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
    // Without its headers nothing goes to the provider, whichever account pays.
    accounts: accounts.map((account) => shownAccount(account, faults, faults.get(name))),
  }
}

function shownAccount(
  row: AccountRow,
  faults: Faults,
  fault = faults.get(`${row.provider}/${row.name}`),
): ShownAccount {
  return {
    name: row.name,
    source: "database",
    shadows_database: false,
    last4: row.last4,
    weight: row.weight,
    region: row.region,
    unusable: fault ?? null,
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
    credential_set_at: row.credential_set_at.toISOString(),
  }
}
