/**
 * Exchanges with providers, written from their formats in the shape that `tallygate verify` reads, to be played through
 * the whole proxy: where each provider's API begins, what a caller asks, and what its record has to say.
 */
import { readdirSync } from "node:fs"
import path from "node:path"
import { type ExpectedUsage, type RecordedExchange, readExchange } from "../../src/cli/verify/recorded-exchange.ts"
import { tierName } from "../../src/pricing/price-row.ts"

export const EXCHANGES = path.join(import.meta.dirname, "../fixtures/exchanges")

const VERTEX = "/v1/projects/p/locations/global/publishers"

/** Dialect and base path of each provider. */
const PROVIDERS: Readonly<Record<string, readonly [dialect: string, base: string, more?: string]>> = {
  alibaba: ["openai", "/compatible-mode/v1"],
  anthropic: ["anthropic", "/v1"],
  azure: ["openai", "/openai/v1"],
  "azure-anthropic": ["anthropic", "/anthropic/v1"],
  bedrock: ["bedrock", ""],
  cerebras: ["openai", "/v1"],
  cohere: ["cohere", ""],
  deepseek: ["openai", ""],
  elevenlabs: ["elevenlabs", ""],
  fireworks: ["openai", "/inference/v1"],
  google: ["google", "/v1beta"],
  groq: ["openai", "/openai/v1"],
  huggingface: ["openai", "/v1"],
  mistral: ["openai", "/v1"],
  moonshotai: ["openai", "/v1"],
  ollama: ["ollama", ""],
  openai: ["openai", "/v1"],
  openrouter: ["openai", "/api/v1"],
  perplexity: ["openai", ""],
  "perplexity-agent": ["openai", "/v1"],
  together: ["openai", "/v1"],
  vertex: ["google", `${VERTEX}/google`],
  "vertex-anthropic": ["google", `${VERTEX}/anthropic`],
  vllm: ["openai", "/v1"],
  voyage: ["openai", "/v1"],
  xai: ["openai", "/v1"],
  zai: ["openai", "/api/paas/v4"],
}

export function exchangesConfig(origin: string): string {
  const providers = Object.entries(PROVIDERS).map(
    ([name, [dialect, base]]) =>
      `  ${name}: { dialect: ${dialect}, base_url: "${origin}${base}", api_key: canary-of-${name} }\n`,
  )
  return `providers:\n${providers.join("")}`
}

/** Those that a caller can ask for anew: what is asked of an object, and what was cut, others test. */
export async function playableExchanges(): Promise<(RecordedExchange & { readonly name: string })[]> {
  const read = readdirSync(EXCHANGES).map(async (file) => {
    const result = await readExchange(path.join(EXCHANGES, file))
    if (result.kind === "unreadable") throw new Error(`${file}: ${result.reason}`)
    return { ...result.exchange, name: file.replace(/\.json$/, "") }
  })
  return (await Promise.all(read)).filter(({ method, response }) => method === "POST" && !response.truncated)
}

/** What is asked of the proxy: a sound goes as a form, everything else as JSON. */
export function requestOf({ path: to, request }: RecordedExchange): { body: FormData | string; isForm: boolean } {
  if (!/\/audio\/(?:transcriptions|translations)$/.test(to)) return { body: JSON.stringify(request), isForm: false }
  const form = new FormData()
  for (const [name, value] of Object.entries(request as Record<string, string>)) {
    if (name === "file") form.append(name, new Blob([value]), "sound.mp3")
    else form.append(name, value)
  }
  return { body: form, isForm: true }
}

const COLUMNS = {
  input_tokens_uncached: "input_uncached_tokens",
  cache_read_tokens: "cache_read_tokens",
  cache_write_5m_tokens: "cache_write_5m_tokens",
  cache_write_1h_tokens: "cache_write_1h_tokens",
  output_tokens: "output_tokens",
  reasoning_tokens: "reasoning_tokens",
  audio_input_tokens: "audio_input_tokens",
  image_input_tokens: "image_input_tokens",
  audio_output_tokens: "audio_output_tokens",
  image_output_tokens: "image_output_tokens",
  web_search_requests: "web_searches",
} as const

/** What the record says, as far as the exchange tells; compared with `recorded`. */
export function expectedRecord({ expected }: RecordedExchange): Record<string, unknown> {
  const classes = Object.entries(COLUMNS).flatMap(([name, column]) => {
    const tokens = expected[name as keyof typeof COLUMNS]
    return tokens === undefined ? [] : [[column, tokens] as const]
  })
  return {
    ...Object.fromEntries(classes),
    ...(expected.must_estimate === true ? {} : { units: expected.units ?? 0, unit_type: expected.unit_type ?? "" }),
    ...(expected.model == null ? {} : { model_served: expected.model }),
    tier_served: tierName(expected.service_tier ?? ""),
    usage_source: sourceOf(expected),
    usage_mismatch: false,
    provider_cost_usd: expected.provider_cost_usd ?? null,
    price_is_free: expected.billable === false,
  }
}

export function recorded(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    ...record,
    units: Number(record.units),
    tier_served: tierName(String(record.tier_served)),
    price_is_free: record.price_state === "free",
  }
}

function sourceOf({ billable, must_estimate, usage_present }: ExpectedUsage): string {
  if (billable === false) return "none"
  if (must_estimate === true) return "estimated"
  return usage_present ? "provider" : "request"
}
