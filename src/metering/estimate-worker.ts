/**
 * The worker thread that counts tokens, away from the event loop that carries bytes. It answers one task at a time; a
 * task that it cannot do is answered as failed, and the asker falls back.
 */
import { type MessagePort, parentPort } from "node:worker_threads"
import { encodingOf, estimatorName, openTokenizer, scaledTokens, type Tokenizer } from "./tokenizer.ts"

/** `request` is the request's body as it came, JSON or not. */
export type EstimateTask = {
  readonly id: number
  readonly model: string
  readonly request: string | Uint8Array
  readonly outputText: string
}

export type EstimateAnswer =
  | {
      readonly kind: "estimated"
      readonly id: number
      readonly inputTokens: number
      readonly outputTokens: number
      readonly estimator: string
    }
  | { readonly kind: "failed"; readonly id: number; readonly reason: string }

if (parentPort !== null) serve(parentPort, openTokenizer())

function serve(port: MessagePort, tokenizer: Tokenizer): void {
  port.on("message", (task: EstimateTask) => port.postMessage(answerTo(task, tokenizer)))
}

function answerTo(task: EstimateTask, tokenizer: Tokenizer): EstimateAnswer {
  const { id, model } = task
  try {
    const input = tokenizer.chatPromptTokens(parsed(task.request), model)
    const output = tokenizer.countTokens(task.outputText, encodingOf(model))
    return {
      kind: "estimated",
      id,
      inputTokens: scaledTokens(input, model),
      outputTokens: scaledTokens(output, model),
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
