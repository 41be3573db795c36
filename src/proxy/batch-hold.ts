/**
 * What a batch is to hold as it is made. Its usage comes only with its results, when what was held for the call that made
 * it has long been given back: a batch is never bounded, but one that no budget has room for is found out at once. The
 * requests of Anthropic's batches stand in the call; those of OpenAI's in a file that is no part of it.
 */
import { setImmediate as turn } from "node:timers/promises"
import { ApiError } from "../platform/error-table.ts"
import { nanosRoundedUp } from "../pricing/money.ts"
import { type BatchedRequest, batchedRequests } from "../providers/batch-requests.ts"
import type { Call, Refused } from "./call.ts"
import { worstCaseOf } from "./call-bound.ts"
import type { DataPlane } from "./data-plane.ts"
import { type Counting, type HoldPlan, type PlanQuestion, planOf, unpriced } from "./hold-plan.ts"
import { notBounded } from "./unbounded-text.ts"

/** Reading a long batch must not keep other calls waiting. */
const BYTES_A_TURN = 1024 * 1024

/** Whether the call makes a batch whose requests are billed later. */
export function makesBatch({ endpoint: { object } }: Call): boolean {
  return object?.act === "create" && (object.kind === "batch" || object.kind === "message_batch")
}

export async function planBatch(
  plane: DataPlane,
  call: Call,
  question: PlanQuestion,
  counting: Counting,
): Promise<HoldPlan | Refused> {
  const { strictest } = counting
  const isInline = call.endpoint.object?.kind === "message_batch"
  const reason = isInline ? "later_usage" : "file_content"
  if (strictest?.unbounded === "deny") return notBounded(reason, strictest)
  const plan = planOf(reason, question.estimate)
  if (!isInline || strictest?.unbounded !== "clamp") return plan
  const sum = await sumOf(plane, call, question, counting)
  if ("error" in sum) return sum
  const estimate = { ...plan.estimate, tokensBound: sum.tokens, costNanosBound: sum.nanos }
  return { ...plan, estimate, estimateOf: () => estimate }
}

type Sum = { readonly tokens: bigint; readonly nanos: bigint }

/** What all requests of the batch use at most, at the price of batches. */
async function sumOf(
  plane: DataPlane,
  call: Call,
  { asked, route }: PlanQuestion,
  { isMoneyLimited }: Counting,
): Promise<Sum | Refused> {
  let tokens = 0n
  let picos = 0n
  let bytes = 0
  for (const request of batchedRequests(call.endpoint, asked.body, asked.form)) {
    if (request.kind === "invalid") {
      return { kind: "refused", error: new ApiError("invalid_request", request.message), reason: "batch" }
    }
    const { most } = boundOfOne(request)
    tokens += BigInt(most.inputTokens) + BigInt(most.outputTokens)
    if (isMoneyLimited) {
      const { model } = request.facts
      const { inputClasses, outputClasses, fees } = most
      const worst = worstCaseOf(
        plane,
        call,
        { ...route, model },
        {
          ...{ inputTokensMax: most.inputTokens, outputTokensMax: most.outputTokens, likely: null },
          ...{ inputClasses, outputClasses, fees, tiers: "batch" },
        },
      )
      if (worst.kind === "unpriced") return unpriced(model, worst.reason)
      picos += worst.costPicos
    }
    bytes += request.body.length
    if (bytes < BYTES_A_TURN) continue
    bytes = 0
    await turn()
  }
  return { tokens, nanos: nanosRoundedUp(picos) }
}

function boundOfOne({ endpoint, body, facts }: BatchedRequest) {
  const form = { model: null, isStream: null, contentType: "application/json" }
  return endpoint.dialect.bound({ body, form, facts, model: facts.model, outline: null })
}
