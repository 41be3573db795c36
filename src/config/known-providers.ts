/**
 * Providers that are on as soon as their key is in the environment. Addresses and variables are those of each
 * provider's documentation and official SDK, so that what works with the SDK works here without a file.
 */
import type { DIALECTS } from "../identity/provider-account.ts"
import type { Environment } from "./interpolate.ts"

type KnownProvider = {
  readonly name: string
  readonly dialect: (typeof DIALECTS)[number]
  readonly baseUrl: string
  /** In the order of precedence that the official SDK has. */
  readonly keyVariables: readonly string[]
  /** The SDK's own variable for another address, and what the SDK appends to it. */
  readonly address?: { readonly variable: string; readonly suffix: string }
  /** False for providers that always send usage and may refuse to be asked for it. */
  readonly includeUsage: boolean
  readonly models: readonly string[]
}

const KNOWN_PROVIDERS: readonly KnownProvider[] = [
  {
    name: "openai",
    dialect: "openai",
    baseUrl: "https://api.openai.com/v1",
    keyVariables: ["OPENAI_API_KEY"],
    address: { variable: "OPENAI_BASE_URL", suffix: "" },
    includeUsage: true,
    models: [
      ...["gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "computer-use-*", "ft:*"],
      ...["text-embedding-*", "omni-moderation-*", "text-moderation-*", "davinci-*", "babbage-*"],
      ...["dall-e-*", "sora-*", "tts-*", "whisper-1"],
    ],
  },
  {
    name: "anthropic",
    dialect: "anthropic",
    baseUrl: "https://api.anthropic.com/v1",
    keyVariables: ["ANTHROPIC_API_KEY"],
    address: { variable: "ANTHROPIC_BASE_URL", suffix: "/v1" },
    includeUsage: true,
    models: ["claude-*"],
  },
  {
    name: "google",
    dialect: "google",
    baseUrl: "https://generativelanguage.googleapis.com/v1beta",
    keyVariables: ["GOOGLE_API_KEY", "GEMINI_API_KEY"],
    address: { variable: "GOOGLE_GEMINI_BASE_URL", suffix: "/v1beta" },
    includeUsage: true,
    models: ["gemini-*", "gemma-*", "imagen-*", "veo-*"],
  },
  {
    name: "mistral",
    dialect: "openai",
    baseUrl: "https://api.mistral.ai/v1",
    keyVariables: ["MISTRAL_API_KEY"],
    includeUsage: false,
    models: [
      ...["mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*"],
      ...["open-mistral-*", "open-mixtral-*"],
    ],
  },
  {
    name: "groq",
    dialect: "openai",
    baseUrl: "https://api.groq.com/openai/v1",
    keyVariables: ["GROQ_API_KEY"],
    address: { variable: "GROQ_BASE_URL", suffix: "/openai/v1" },
    includeUsage: true,
    models: [
      ...["llama-*", "openai/gpt-oss-*", "meta-llama/llama-4-*", "qwen/qwen3-32b", "whisper-large-*"],
      ...["groq/compound", "groq/compound-mini"],
    ],
  },
  {
    name: "deepseek",
    dialect: "openai",
    baseUrl: "https://api.deepseek.com/v1",
    keyVariables: ["DEEPSEEK_API_KEY"],
    includeUsage: true,
    models: ["deepseek-*"],
  },
  {
    name: "xai",
    dialect: "openai",
    baseUrl: "https://api.x.ai/v1",
    keyVariables: ["XAI_API_KEY"],
    includeUsage: true,
    models: ["grok-*"],
  },
  {
    name: "openrouter",
    dialect: "openai",
    baseUrl: "https://openrouter.ai/api/v1",
    keyVariables: ["OPENROUTER_API_KEY"],
    includeUsage: true,
    // Its models are named vendor/model. A bare */* would also swallow sandbox/*, so the vendors are listed. There is no
    // openrouter/* either: `openrouter/<vendor>/<model>` names the provider, and the router takes that prefix off.
    models: [
      ...["openrouter/auto", "anthropic/*", "openai/*", "google/*", "meta-llama/*", "mistralai/*", "deepseek/*"],
      ...["x-ai/*", "qwen/*", "moonshotai/*", "z-ai/*", "minimax/*", "cohere/*", "perplexity/*", "nvidia/*"],
      ...["microsoft/*", "amazon/*", "nousresearch/*"],
    ],
  },
]

export type ProviderFromEnvironment = {
  readonly name: string
  readonly dialect: KnownProvider["dialect"]
  readonly apiKey: string
  readonly keyVariable: string
  /** Unchecked where it came from a variable. */
  readonly baseUrl: string
  /** The variable that set the address; null for the well-known one. */
  readonly baseUrlVariable: string | null
  readonly wellKnownBaseUrl: string
  readonly includeUsage: boolean
  readonly models: readonly string[]
}

/** The known providers whose key is set, in a fixed order; a variable that is empty counts as unset. */
export function providersFromEnvironment(env: Environment): readonly ProviderFromEnvironment[] {
  return KNOWN_PROVIDERS.flatMap((known) => {
    const keyVariable = known.keyVariables.find((variable) => isSet(env[variable]))
    if (keyVariable === undefined) return []
    const address = known.address !== undefined && isSet(env[known.address.variable]) ? known.address : null
    return [
      {
        name: known.name,
        dialect: known.dialect,
        apiKey: env[keyVariable] ?? "",
        keyVariable,
        baseUrl: address === null ? known.baseUrl : withSuffix(env[address.variable] ?? "", address.suffix),
        baseUrlVariable: address?.variable ?? null,
        wellKnownBaseUrl: known.baseUrl,
        includeUsage: known.includeUsage,
        models: known.models,
      },
    ]
  })
}

/** The variable that switches a known provider on; null for names that are not known. */
export function keyVariableOf(name: string): string | null {
  return KNOWN_PROVIDERS.find((known) => known.name === name)?.keyVariables[0] ?? null
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ""
}

function withSuffix(url: string, suffix: string): string {
  const trimmed = url.replace(/\/+$/, "")
  return trimmed.endsWith(suffix) ? trimmed : trimmed + suffix
}
