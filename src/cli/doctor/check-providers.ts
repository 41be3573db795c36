/**
 * Providers: whether each answers, and takes the credential of each of our accounts, by listing its models, which nobody
 * bills.
 */
import { openSecretBox } from "../../app/encryption-keys.ts"
import type { Config } from "../../config/load.ts"
import { routerFrom } from "../../config/routing.ts"
import { NOTHING_STORED, type StoredProviders, type Unusable } from "../../identity/provider-account.ts"
import { openProviderRows, readProviderRows } from "../../identity/provider-account-rows.ts"
import { SecretBox } from "../../platform/secret-box.ts"
import { signedFor } from "../../providers/aws-signature.ts"
import { type Provider, type ProviderAccount, pathAt } from "../../providers/router.ts"
import { accountCredential } from "../../providers/upstream-headers.ts"
import { connectionFault } from "../connection-fault.ts"
import { isDatabaseMade } from "../with-database.ts"
import type { Ask } from "./check-database.ts"
import { type Finding, ok, problem, skipped, warning } from "./finding.ts"

const ANSWER_MS_MAX = 10_000
const ANTHROPIC_VERSION = "2023-06-01"

/** `ask` is null where the database cannot be asked for the accounts that were made by API. */
export async function checkProviders(config: Config, ask: Ask | null): Promise<Finding[]> {
  const stored = ask === null ? NOTHING_STORED : await readStored(config, ask)
  const providers = [...routerFrom(config, null, stored).providers.values()]
  const found = [
    ...(config.sandbox ? [skipped("provider sandbox", "built in")] : []),
    ...(await Promise.all(providers.map(checkProvider))).flat(),
    ...stored.unusable.map(sealed),
  ]
  if (ask !== null || !isDatabaseMade(config)) return found
  return [...found, skipped("provider accounts", "those made by API are known once the database can be asked")]
}

/** The keys are needed, and perhaps not there, only where something was sealed. */
async function readStored(config: Config, ask: Ask): Promise<StoredProviders> {
  const rows = await ask(readProviderRows)
  const isEmpty = rows.providers.length === 0 && rows.accounts.length === 0
  return openProviderRows(rows, isEmpty ? new SecretBox(null) : await openSecretBox(config))
}

function sealed({ name, reason }: Unusable): Finding {
  const fix =
    "Give the key that it was encrypted with (encryption_key, or encryption_key_previous), or set it again by the admin API."
  return problem(`provider ${name}`, `What is stored of it cannot be decrypted: ${reason}.`, fix)
}

async function checkProvider(provider: Provider): Promise<Finding[]> {
  const { name, accounts } = provider
  if (provider.credential === "caller")
    return [skipped(`provider ${name}`, "each caller brings a credential of its own")]
  return Promise.all(
    accounts.map((account) =>
      checkAccount(provider, account, accounts.length === 1 ? `provider ${name}` : `provider ${name}/${account.name}`),
    ),
  )
}

async function checkAccount(provider: Provider, account: ProviderAccount, check: string): Promise<Finding> {
  let status: number
  try {
    status = await listModels(provider, account)
  } catch (error) {
    const fix = `Check providers.${provider.name}.base_url, and that this machine may reach it (DNS, proxy, firewall).`
    return problem(check, `${provider.origin} cannot be reached: ${connectionFault(error)}.`, fix)
  }
  return judge(provider, account, check, status)
}

function judge(provider: Provider, { secret, name }: ProviderAccount, check: string, status: number): Finding {
  const said = `${provider.origin} answers ${status} to a list of its models`
  // An API key that is none is an invalid argument to Google.
  if (status === 401 || status === 403 || (status === 400 && provider.dialect === "google")) {
    const place = `a key to account ${name} of provider ${provider.name} (api_key, or by the admin API)`
    const fix = secret === null ? `Give ${place}.` : `Give ${place} that is valid and may list models.`
    return problem(check, `${said}: the credential is refused.`, fix)
  }
  if (status < 300) return ok(check, `${provider.origin} takes the credential`)
  if (status === 404 || status === 405) {
    const text = `${said}: it is reached, and whether it takes the credential is not known.`
    return warning(check, text, `Make a call; if it fails too, check the path in providers.${provider.name}.base_url.`)
  }
  return warning(check, `${said}.`, "Try again; if it stays so, look at the provider's status page.")
}

/** The status of the answer. @throws what kept it from coming */
async function listModels(provider: Provider, account: ProviderAccount): Promise<number> {
  const path = pathAt(provider, provider.dialect, "/models") ?? "/models"
  const credential = accountCredential(account, provider.dialect)
  const signed = signedFor(provider, account, { method: "GET", path, headers: [], body: null }, Date.now())
  const response = await fetch(provider.origin + path, {
    // The credential is for this origin alone.
    redirect: "manual",
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    headers: {
      ...(provider.dialect === "anthropic" ? { "anthropic-version": ANTHROPIC_VERSION } : {}),
      ...(credential === null ? {} : { [credential.name]: credential.value }),
      ...(signed === null ? {} : namedHeaders(signed.headers)),
      ...provider.headers,
    },
  })
  await response.body?.cancel()
  return response.status
}

/** From names and values in turn. */
function namedHeaders(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""]] : [])))
}
