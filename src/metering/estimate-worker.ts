/**
 * The worker thread that counts tokens, away from the event loop that carries bytes. It answers one task at a time; a
 * task that it cannot do is answered as failed, and the asker falls back.
 */
import { type MessagePort, parentPort } from "node:worker_threads"
import type { Estimate } from "./estimator.ts"
import { secondsOfForm, soundTokens } from "./media-tokens.ts"
import { encodingOf, estimatorName, familyNameOf, outputTokensFor } from "./model-family.ts"
import { openTokenizer, type Tokenizer } from "./tokenizer.ts"

/** `request` is the request's body as it came, JSON or not. */
export type EstimateTask = {
  readonly id: number
  readonly model: string
  readonly request: string | Uint8Array
  readonly outputText: string
}

export type EstimateAnswer =
  | (Estimate & { readonly kind: "estimated"; readonly id: number })
  | { readonly kind: "failed"; readonly id: number; readonly reason: string }

if (parentPort !== null) serve(parentPort, openTokenizer())

function serve(port: MessagePort, tokenizer: Tokenizer): void {
  port.on("message", (task: EstimateTask) => port.postMessage(answerTo(task, tokenizer)))
}

function answerTo(task: EstimateTask, tokenizer: Tokenizer): EstimateAnswer {
  const { id, model } = task
  try {
    const seconds = typeof task.request === "string" ? null : secondsOfForm(task.request)
    const sound = seconds === null ? 0 : soundTokens(seconds, familyNameOf(model))
    const { input, image, audio } =
      seconds === null ? tokenizer.promptTokens(parsed(task.request), model) : { input: sound, image: 0, audio: sound }
    const output = tokenizer.countTokens(task.outputText, encodingOf(model))
    return {
      kind: "estimated",
      id,
      inputTokens: input,
      imageInputTokens: image,
      audioInputTokens: audio,
      audioSeconds: seconds ?? 0,
      outputTokens: outputTokensFor(output, model),
      estimator: estimatorName(model),
    }
  } catch (error) {
    return { kind: "failed", id, reason: String(error) }
  }
}

/** The body's value, or its text where it is not JSON: then the text itself is counted. */
function parsed(request: string | Uint8Array): unknown {
  const text = typeof request === "string" ? request : Buffer.from(request).toString("utf8")
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
