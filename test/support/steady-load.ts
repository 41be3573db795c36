/** Callers that call one after the other until they are told to stop, and what became of each call. */
import { setTimeout as pause } from "node:timers/promises"

export type CallOutcome = {
  readonly keyId: string
  readonly status: number
  readonly beganMs: number
  readonly tookMs: number
  readonly retryAfter: string | null
  /** Of a refusal. */
  readonly code: string
  readonly message: string
}

export type SteadyLoad = {
  readonly outcomes: readonly CallOutcome[]
  /** Waits for the calls under way. */
  stop(): Promise<void>
}

export type LoadOptions = {
  readonly urls: readonly string[]
  readonly keys: readonly { readonly id: string; readonly key: string }[]
  /** For each key and url. */
  readonly callers: number
  readonly model: string
}

/** A refused caller does not call again at once. */
const REFUSED_PAUSE_MS = 20

export function startLoad({ urls, keys, callers, model }: LoadOptions): SteadyLoad {
  const outcomes: CallOutcome[] = []
  let isOver = false
  const body = JSON.stringify({ model, max_tokens: 200, messages: [{ role: "user", content: "hi" }] })
  const run = async (url: string, { id, key }: LoadOptions["keys"][number]) => {
    while (!isOver) {
      const outcome = await callOnce(url, key, body)
      outcomes.push({ keyId: id, ...outcome })
      if (outcome.status !== 200) await pause(REFUSED_PAUSE_MS)
    }
  }
  const running = urls.flatMap((url) => keys.flatMap((key) => Array.from({ length: callers }, () => run(url, key))))
  return {
    outcomes,
    stop: async () => {
      isOver = true
      await Promise.all(running)
    },
  }
}

async function callOnce(url: string, key: string, body: string): Promise<Omit<CallOutcome, "keyId">> {
  const beganMs = performance.now()
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" }
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body })
  const answer = (await response.json()) as { error?: { code: string; message: string } }
  return {
    status: response.status,
    beganMs,
    tookMs: performance.now() - beganMs,
    retryAfter: response.headers.get("retry-after"),
    code: answer.error?.code ?? "",
    message: answer.error?.message ?? "",
  }
}
