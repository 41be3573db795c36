/**
 * Callers that call one proxy after another without pause, plain and as streams, at costs drawn by lot. Every call
 * bears an id of its own in `user`, which its record keeps as `end_customer` and the provider receives: so each call can
 * be followed from the caller to the provider to the ledger.
 */
import { setTimeout as wait } from "node:timers/promises"
import { until } from "./test-app.ts"

/** `whole`: answered completely. `refused`: by the proxy, with this status. `cut`: no connection, or one that broke. */
export type CallEnd =
  | { readonly kind: "whole"; readonly id: string; readonly url: string; readonly endedMs: number }
  | { readonly kind: "refused"; readonly id: string; readonly status: number; readonly text: string }
  | { readonly kind: "cut"; readonly id: string; readonly url: string }

export type StormOptions = {
  readonly callers: number
  /** Where the next call of a caller goes. */
  readonly urlOf: (caller: number) => string
  /** Keys that take turns. */
  readonly keys: readonly string[]
  /** The answer's length, as the parts of a model's name. */
  readonly streamDelayMs?: number
}

/** Output that each call asks for at most; what it gets is drawn below it. */
export const OUTPUT_TOKENS_MAX = 100
/** Prompt tokens are drawn below this: no more than a request has bytes, since that is what is held for them. */
const PROMPT_TOKENS_MAX = 150

let lastId = 0

export class CallStorm {
  readonly ends: CallEnd[] = []
  readonly #options: StormOptions
  readonly #callers: Promise<void>[]
  #isOver = false
  /** Refusals since the last answer, over all callers. */
  #refusedInARow = 0

  constructor(options: StormOptions) {
    this.#options = options
    this.#callers = Array.from({ length: options.callers }, (_, caller) => this.#callOn(caller))
  }

  /** Resolves when that many calls in a row were refused, counted from now. */
  async refused(times: number, timeoutMs: number): Promise<void> {
    this.#refusedInARow = 0
    await until(async () => (this.#refusedInARow >= times ? true : undefined), timeoutMs)
  }

  /** Lets the calls under way end. */
  async stop(): Promise<readonly CallEnd[]> {
    this.#isOver = true
    await Promise.all(this.#callers)
    return this.ends
  }

  async #callOn(caller: number): Promise<void> {
    const { keys, urlOf, streamDelayMs } = this.#options
    for (let turn = caller; !this.#isOver; turn++) {
      const end = await callOnce(urlOf(caller), keys[turn % keys.length] ?? "", drawModel(streamDelayMs ?? 5))
      this.ends.push(end)
      if (end.kind === "whole") this.#refusedInARow = 0
      else if (end.kind === "refused") this.#refusedInARow += 1
      // A caller that was refused tries again now and then; one whose proxy is gone, once it may be back.
      if (end.kind !== "whole") await wait(20 + Math.random() * 30)
    }
  }
}

/** One call. */
export async function callOnce(
  url: string,
  key: string,
  { model, isStream }: { readonly model: string; readonly isStream: boolean },
): Promise<CallEnd> {
  lastId += 1
  const id = `call-${lastId}`
  const messages = [{ role: "user", content: `One of ${OUTPUT_TOKENS_MAX} ways to say it. `.repeat(4) }]
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model, stream: isStream, user: id, max_tokens: OUTPUT_TOKENS_MAX, messages }),
    })
    const text = await response.text()
    if (response.status !== 200) return { kind: "refused", id, status: response.status, text }
    const isWhole = !isStream || text.trimEnd().endsWith("data: [DONE]")
    return isWhole ? { kind: "whole", id, url, endedMs: performance.now() } : { kind: "cut", id, url }
  } catch {
    return { kind: "cut", id, url }
  }
}

function drawModel(streamDelayMs: number): { model: string; isStream: boolean } {
  const draw = (from: number, below: number) => from + Math.floor(Math.random() * (below - from))
  const isStream = Math.random() < 0.4
  const timing = isStream ? `-c${draw(2, 12)}-d${draw(1, 2 * streamDelayMs)}` : `-d${draw(1, 25)}`
  return { model: `mock-p${draw(20, PROMPT_TOKENS_MAX)}-o${draw(10, OUTPUT_TOKENS_MAX)}-heed${timing}`, isStream }
}
