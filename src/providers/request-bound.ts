/**
 * What a request can use at most, as far as its bytes tell, or why they do not tell. Each dialect answers it for its own
 * wire shape; what a hold on a limit takes, and whether a limit may take the call at all, follows from the answer.
 *
 * Text bounds its tokens by its bytes: no tokenizer makes a token of less than a byte, and the JSON around a message, a
 * part or a tool is longer than what providers put around it (`{"role":"user","content":""}` is 28 bytes, and no more
 * than 8 tokens). Media is no text, and is bounded by what its provider scales it down to, where the provider says so.
 */
import type { TokenClass } from "../pricing/price-row.ts"
import type { RequestFacts, RequestForm } from "./dialect.ts"

/** Why nobody can tell beforehand what a call uses at most. A closed list; docs/limits.md explains each. */
export const UNBOUNDED_REASONS = [
  "server_context",
  "cached_context",
  "file_content",
  "remote_content",
  "image",
  "audio",
  "document",
  "server_tool",
  "predicted_output",
  "generated_media",
  "hidden_output",
  "open_output",
  "later_usage",
  "routed_model",
  "unknown_content",
  "unknown_member",
  "unmetered",
] as const
export type UnboundedReason = (typeof UNBOUNDED_REASONS)[number]

/** The most of everything that the request can use; of an unbounded one, what is known of it. */
export type MostUse = {
  /** All input, media included. */
  readonly inputTokens: number
  /** All output of all choices: what the caller allows, or, where it allows anything, what the model can write. */
  readonly outputTokens: number
  /** The provider is to be asked for no more than `outputTokens`, since the request alone does not say so. */
  readonly asksForOutput: boolean
  /** The least output that the provider takes as a bound; null where it takes none that could be lowered. */
  readonly outputTokensMin: number | null
  /** Most calls of each of the provider's tools. */
  readonly fees: Readonly<Record<string, number>>
  /** What the input can be billed as. */
  readonly inputClasses: readonly TokenClass[]
  readonly outputClasses: readonly TokenClass[]
  /** Whether the request may be served, and billed, in a dearer tier than the standard one. */
  readonly mayBePriority: boolean
}

export type RequestBound =
  | { readonly kind: "bounded"; readonly most: MostUse }
  | { readonly kind: "unbounded"; readonly reason: UnboundedReason; readonly most: MostUse }

export type BoundQuestion = {
  readonly body: Buffer
  readonly form: RequestForm
  readonly facts: RequestFacts
  /** The model as it is routed, whose formulas apply. */
  readonly model: string
  /** The body without what stands in its arrays, where it has been read already. */
  readonly outline: Readonly<Record<string, unknown>> | null
}

/** What is found on the way through a request; the first reason stands. */
export type Findings = {
  reason: UnboundedReason | null
  /** Tokens of media, and of what a provider adds. */
  extraTokens: number
  /** Bytes of the body that are data of media, and no text. */
  mediaBytes: number
  hasImages: boolean
  hasAudio: boolean
  readonly fees: Record<string, number>
}

export function newFindings(): Findings {
  return { reason: null, extraTokens: 0, mediaBytes: 0, hasImages: false, hasAudio: false, fees: {} }
}

export function unboundedBy(findings: Findings, reason: UnboundedReason): void {
  findings.reason ??= reason
}

/** What a dialect knows of the members at the top of its requests. */
export type KnownMembers = {
  /** Arrays and objects that bring nothing in but their own text. */
  readonly plain: ReadonlySet<string>
  /** Members that bring in what no request bounds, unless they are null. */
  readonly telling: ReadonlyMap<string, UnboundedReason>
}

/** Notes what the members of a request bring in by being there; an array or object that is not known could be anything. */
export function readMembers(
  request: Readonly<Record<string, unknown>>,
  { plain, telling }: KnownMembers,
  findings: Findings,
): void {
  for (const name in request) {
    const value = request[name]
    if (value === null || value === undefined) continue
    const reason = telling.get(name)
    if (reason !== undefined) unboundedBy(findings, reason)
    else if (typeof value === "object" && !plain.has(name)) unboundedBy(findings, "unknown_member")
  }
}

/** What text, and the thinking before it, can be billed as. */
export const TEXT_OUTPUT: readonly TokenClass[] = ["output", "reasoning"]

/** What media of unknown size is likely to have, for a hold that cannot be a bound: so much, and a token for so many bytes. */
const UNKNOWN_MEDIA_TOKENS = 2_000
const UNKNOWN_MEDIA_BYTES_PER_TOKEN = 16

/** Notes media whose tokens nobody can bound; `dataBytes` of the body are its data. */
export function addUnknownMedia(findings: Findings, reason: UnboundedReason, dataBytes: number): void {
  unboundedBy(findings, reason)
  findings.mediaBytes += dataBytes
  findings.extraTokens += UNKNOWN_MEDIA_TOKENS + Math.ceil(dataBytes / UNKNOWN_MEDIA_BYTES_PER_TOKEN)
}

/** Notes a picture of at most `tokensMax` tokens, null where no formula is known. */
export function addImage(findings: Findings, tokensMax: number | null, dataBytes: number): void {
  findings.hasImages = true
  if (tokensMax === null) {
    addUnknownMedia(findings, "image", dataBytes)
    return
  }
  findings.mediaBytes += dataBytes
  findings.extraTokens += tokensMax
}

/** A fee for a tool that the provider runs itself, where the request says how often at most. */
export function addFee(findings: Findings, tool: string, callsMax: number | null): void {
  if (callsMax !== null) findings.fees[tool] = (findings.fees[tool] ?? 0) + callsMax
}

/** The findings as an answer. `textBytes` are those of the body unless the provider may read more into it. */
export function boundOf(
  findings: Findings,
  rest: Omit<MostUse, "inputTokens" | "fees"> & { readonly textBytes: number },
): RequestBound {
  const use: MostUse = {
    inputTokens: Math.max(0, rest.textBytes - findings.mediaBytes) + findings.extraTokens,
    outputTokens: rest.outputTokens,
    asksForOutput: rest.asksForOutput,
    outputTokensMin: rest.outputTokensMin,
    fees: findings.fees,
    inputClasses: rest.inputClasses,
    outputClasses: rest.outputClasses,
    mayBePriority: rest.mayBePriority,
  }
  return findings.reason === null
    ? { kind: "bounded", most: use }
    : { kind: "unbounded", reason: findings.reason, most: use }
}

const NO_FEES: MostUse["fees"] = Object.freeze({})
const INPUT: readonly TokenClass[] = ["input"]
const OUTPUT: readonly TokenClass[] = ["output"]

/** What a call without output uses at most, where all its input is text. */
export function boundedInput(inputTokens: number): RequestBound {
  const most = { inputTokens, outputTokens: 0, asksForOutput: false, outputTokensMin: null, fees: NO_FEES }
  return {
    kind: "bounded",
    most: { ...most, inputClasses: INPUT, outputClasses: OUTPUT, mayBePriority: true },
  }
}

/** The same as an unbounded answer. */
export function unboundedFor(reason: UnboundedReason, { most }: RequestBound): RequestBound {
  return { kind: "unbounded", reason, most }
}
