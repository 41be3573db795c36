/**
 * Output that is held in slices: how much a stream has written, how much is held for it, and whether it may read on. The
 * next slice is asked for while half of the last one is left, so that a stream waits for the store only where it is
 * faster; where none fits, it gets the rest of what fits, and is ended when that is used.
 *
 * What is written is counted by its text, so that no tokenizer stands in the stream: a token for three ASCII
 * characters, or two bytes of others, is more than tokenizers come to in prose and code. Where a provider states usage as it goes (Gemini),
 * the larger of the two counts. What a count falls short is charged when the call is settled: less than a slice.
 */
import type { Extended } from "../admission/admit.ts"
import type { SliceBound } from "../admission/limits.ts"
import type { Refusal } from "../admission/refusal.ts"
import { awayMessage, refusalMessage } from "../admission/refusal-text.ts"
import { inputTokens as inputTokensOf } from "../metering/usage.ts"
import type { Reading } from "../providers/dialect.ts"
import type { StreamCut, UsageSoFar } from "../providers/stream-end.ts"

/** A smaller rest is not worth an act of the store. */
const REST_TOKENS_MIN = 16
const ASCII_PER_TOKEN = 3
const OTHER_BYTES_PER_TOKEN = 2

export type SlicesOptions = {
  readonly sliceTokens: number
  /** The most that the provider was asked for, over all choices; null where nothing was said. */
  readonly outputTokensMax: number | null
  readonly inputTokensLikely: number
  /** The dearest that the call can cost with so much output, in nano-dollars, rounded up. */
  readonly costNanosOf: (outputTokens: number) => bigint
  readonly extend: (more: SliceBound) => Promise<Extended>
  readonly nowMs: () => number
  readonly onFault: (fault: unknown) => void
}

/** Whom a stream that has to wait, or to end, tells so. */
export type SlicesListener = { readonly go: () => void; readonly cut: () => void }

export class OutputSlices {
  readonly #options: SlicesOptions
  #listener: SlicesListener | null = null
  #heldTokens: number
  #writtenTokens = 0
  #countedUnits = 0
  #isAsking = false
  #isWaiting = false
  #isOver = false
  #refusal: StreamCut | null = null

  constructor(options: SlicesOptions) {
    this.#options = options
    this.#heldTokens = firstSliceOf(options.sliceTokens, options.outputTokensMax)
  }

  follow(listener: SlicesListener): void {
    this.#listener = listener
  }

  /** Looks at what has come. False: nothing more is to be read until the listener hears `go`, or is told to `cut`. */
  mayReadOn(reading: Reading): boolean {
    this.#count(reading)
    if (this.#isOver || this.#isWhole()) return true
    const { sliceTokens } = this.#options
    const isLow = this.#writtenTokens * 2 + sliceTokens >= this.#heldTokens * 2
    if (isLow && !this.#isAsking && this.#refusal === null) this.#ask()
    if (this.#writtenTokens < this.#heldTokens) return true
    this.#isWaiting = true
    if (this.#refusal !== null) this.#listener?.cut()
    return false
  }

  /** The answer is over: nothing more is held for it. */
  close(): void {
    this.#isOver = true
  }

  /** The answer is none that can be ended early: the rest of its output is held at once, as far as there is room. */
  holdRest(): void {
    this.#isOver = true
    const { outputTokensMax, extend, onFault } = this.#options
    if (outputTokensMax === null || this.#isWhole()) return
    extend(this.#boundOf(outputTokensMax - this.#heldTokens)).catch(onFault)
  }

  get cut(): StreamCut {
    return this.#refusal ?? lost()
  }

  usageSoFar(reading: Reading): UsageSoFar {
    const inputTokens = reading.usage === null ? this.#options.inputTokensLikely : inputTokensOf(reading.usage)
    return { inputTokens, outputTokens: this.#writtenTokens }
  }

  #isWhole(): boolean {
    const { outputTokensMax } = this.#options
    return outputTokensMax !== null && this.#heldTokens >= outputTokensMax
  }

  #count({ outputText, usage }: Reading): void {
    if (outputText.length > this.#countedUnits) {
      this.#writtenTokens += tokensLikely(outputText.slice(this.#countedUnits))
      this.#countedUnits = outputText.length
    }
    const stated = usage === null ? 0 : usage.outputTokens
    if (stated > this.#writtenTokens) this.#writtenTokens = stated
  }

  #ask(): void {
    this.#isAsking = true
    this.#grow().then(
      () => {
        this.#isAsking = false
        this.#goOn()
      },
      (fault: unknown) => {
        this.#isAsking = false
        this.#refusal = lost()
        this.#options.onFault(fault)
        this.#goOn()
      },
    )
  }

  async #grow(): Promise<void> {
    const { sliceTokens, outputTokensMax, extend } = this.#options
    const tokens = Math.min(sliceTokens, (outputTokensMax ?? Number.POSITIVE_INFINITY) - this.#heldTokens)
    const reply = await extend(this.#boundOf(tokens))
    if (reply.kind === "held") {
      this.#heldTokens += tokens
      return
    }
    const rest = reply.kind === "refused" ? this.#restOf(reply, tokens) : 0
    if (rest >= REST_TOKENS_MIN && (await extend(this.#boundOf(rest))).kind === "held") this.#heldTokens += rest
    else this.#refusal = this.#cutBy(reply)
  }

  #goOn(): void {
    if (!this.#isWaiting || this.#isOver) return
    if (this.#writtenTokens < this.#heldTokens || this.#isWhole()) {
      this.#isWaiting = false
      this.#listener?.go()
    } else if (this.#refusal === null) this.#ask()
    else this.#listener?.cut()
  }

  #boundOf(tokens: number): SliceBound {
    const { costNanosOf } = this.#options
    const costNanosBound = costNanosOf(this.#heldTokens + tokens) - costNanosOf(this.#heldTokens)
    return { tokensBound: BigInt(tokens), costNanosBound }
  }

  /** How many tokens every limit of the refused act has room for: the cost rises with them. */
  #restOf({ rooms }: Extract<Extended, { kind: "refused" }>, below: number): number {
    let [within, beyond] = [0, below]
    while (beyond - within > 1) {
      const middle = Math.floor((within + beyond) / 2)
      const { tokensBound, costNanosBound } = this.#boundOf(middle)
      const fits = rooms.every(({ limit, left }) => (limit.kind === "usd" ? costNanosBound : tokensBound) <= left)
      if (fits) within = middle
      else beyond = middle
    }
    return within
  }

  #cutBy(reply: Exclude<Extended, { kind: "held" }>): StreamCut {
    if (reply.kind === "lost") return lost()
    const { limit } = reply.refusal
    const why =
      reply.kind === "away"
        ? awayMessage(reply.refusal)
        : refusalMessage(reply.refusal satisfies Refusal, this.#options.nowMs())
    return { cut_by: "budget", limit_id: limit.id, message: `The answer was ended here. ${why}` }
  }
}

/** The tokens that are held before the call is forwarded. */
export function firstSliceOf(sliceTokens: number, outputTokensMax: number | null): number {
  return outputTokensMax === null ? sliceTokens : Math.min(sliceTokens, outputTokensMax)
}

/** More than tokenizers make of the text, nearly always. */
function tokensLikely(text: string): number {
  const bytes = Buffer.byteLength(text)
  let ascii = 0
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) < 0x80) ascii += 1
  return ascii / ASCII_PER_TOKEN + (bytes - ascii) / OTHER_BYTES_PER_TOKEN
}

function lost(): StreamCut {
  const message = "The answer was ended here: what was held for it had expired, so that no more could be held."
  return { cut_by: "budget", limit_id: "", message }
}
