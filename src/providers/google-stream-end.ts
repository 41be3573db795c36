/**
 * Ends a stream of Gemini's `streamGenerateContent` (SSE): one more chunk, in which each candidate that is still open
 * finishes with `MAX_TOKENS`. (Gemini API reference, GenerateContentResponse.)
 */
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { dataEvent, type StreamCut, type StreamEnd, type UsageSoFar } from "./stream-end.ts"

export class GoogleStreamEnd implements StreamEnd {
  #common: Record<string, unknown> = {}
  readonly #candidates = new Map<number, boolean>()

  see(data: string): void {
    const chunk = parsedObject(data)
    if (chunk === null) return
    const { candidates, ...common } = chunk
    this.#common = { ...this.#common, ...common }
    for (const value of asArray(candidates)) {
      const candidate = asObject(value)
      if (candidate === null) continue
      const index = count(candidate.index) ?? 0
      this.#candidates.set(index, asText(candidate.finishReason) !== "" || this.#candidates.get(index) === true)
    }
  }

  end(cut: StreamCut, { inputTokens, outputTokens }: UsageSoFar): string {
    if (this.#candidates.size === 0) this.#candidates.set(0, false)
    const open = [...this.#candidates].filter(([, isFinished]) => !isFinished)
    const candidates = open.map(([index]) => ({
      content: { parts: [{ text: "" }], role: "model" },
      finishReason: "MAX_TOKENS",
      index,
    }))
    const usage = {
      promptTokenCount: inputTokens,
      candidatesTokenCount: outputTokens,
      totalTokenCount: inputTokens + outputTokens,
    }
    return dataEvent({ usageMetadata: usage, ...this.#common, candidates, tallygate: cut })
  }
}
