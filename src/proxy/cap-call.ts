/**
 * The caps that a key or its project puts on each single call: output, input, cost. More output than the cap is clamped
 * (the provider is asked for less) or refused, as the key says; more input, or a cost that no output would lower, is refused.
 */
import { isCapped } from "../identity/call-caps.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import { formatUsd, nanosRoundedUp, PICOS_PER_NANO } from "../pricing/money.ts"
import type { RequestFacts } from "../providers/dialect.ts"
import type { Route } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import { inputBytes, mostOutput, worstCaseOf } from "./call-bound.ts"
import { estimateUsage } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

/** `outputTokensMax` is what the provider is to be asked for; null where the caller's own stands. */
export type Capped = { readonly kind: "capped"; readonly outputTokensMax: number | null } | Refused

const UNCAPPED: Capped = { kind: "capped", outputTokensMax: null }

export function capCall(plane: DataPlane, call: Call, key: VirtualKey, asked: Asked, route: Route): Capped {
  const { caps } = key
  const { facts } = asked
  if (!isCapped(caps) || facts.isFree) return UNCAPPED
  const { likely } = estimateUsage(facts, inputBytes(asked), 0)
  if (caps.inputTokensMax !== null && likely.inputUncachedTokens > caps.inputTokensMax) {
    const message =
      `This call has about ${likely.inputUncachedTokens} input tokens, and this key allows ${caps.inputTokensMax} a call ` +
      "(max_input_tokens). Send less, or ask an admin to raise the cap."
    return refused("call_too_large", message)
  }
  // What is billed by units has no output that could be clamped.
  const byTokens = facts.units === null ? clampOutput(facts, caps.outputTokensMax) : null
  if (byTokens !== null) {
    const isOver = facts.outputTokensMax !== null && caps.policy === "deny"
    if (isOver || byTokens < (facts.choices ?? 1)) return tooMuchOutput(facts, byTokens)
  }
  if (caps.costNanosMax === null) return { kind: "capped", outputTokensMax: byTokens }
  return capCost(plane, call, asked, route, { byTokens, costNanosMax: caps.costNanosMax, policy: caps.policy })
}

/** The cap, where the caller asks for more or leaves it open; null where its own is within. */
function clampOutput({ outputTokensMax }: RequestFacts, cap: number | null): number | null {
  return cap !== null && (outputTokensMax === null || outputTokensMax > cap) ? cap : null
}

function tooMuchOutput({ outputTokensMax, choices = 1 }: RequestFacts, cap: number): Refused {
  const asks = outputTokensMax === null ? `${choices} answers` : `up to ${outputTokensMax} output tokens`
  const message =
    `This call asks for ${asks}, and this key allows ${cap} output tokens a call (max_output_tokens). Ask for less, or ` +
    "ask an admin to raise the cap."
  return refused("call_too_large", message)
}

type CostCap = { readonly byTokens: number | null; readonly costNanosMax: bigint; readonly policy: "clamp" | "deny" }

function capCost(plane: DataPlane, call: Call, asked: Asked, route: Route, cap: CostCap): Capped {
  const { facts } = asked
  const estimate = estimateUsage(facts, inputBytes(asked), 0)
  const { inputTokensBound: inputTokensMax, likely } = estimate
  const costOf = (outputTokensMax: number): bigint | null => {
    const worst = worstCaseOf(plane, call, route, { inputTokensMax, outputTokensMax, likely })
    return worst.kind === "bounded" ? nanosRoundedUp(worst.costPicos) : null
  }
  const ofInput = costOf(0)
  if (ofInput === null) return uncostable(route)
  if (ofInput > cap.costNanosMax) return tooExpensive(cap.costNanosMax)
  if (facts.units !== null) return UNCAPPED
  const wanted = cap.byTokens ?? facts.outputTokensMax ?? OPEN_OUTPUT_MAX
  if ((costOf(wanted) ?? 0n) <= cap.costNanosMax) return { kind: "capped", outputTokensMax: cap.byTokens }
  const affordable = mostOutput(wanted, (tokens) => (costOf(tokens) ?? 0n) <= cap.costNanosMax)
  const isDenied = cap.policy === "deny" && facts.outputTokensMax !== null
  if (affordable < (facts.choices ?? 1) || isDenied) return tooExpensive(cap.costNanosMax)
  return { kind: "capped", outputTokensMax: affordable }
}

/**
 * A call that leaves its output open stays so where this much is within the cap: models refuse to be asked for more than
 * they have, and hardly any answers with more unasked.
 */
const OPEN_OUTPUT_MAX = 16_384

function uncostable(route: Route): Refused {
  const message =
    `This key caps the cost of a call (max_cost_usd), and the model \`${route.model.slice(0, 100)}\` has no price here, ` +
    "so its cost cannot be bounded. Use a priced model, or ask an admin to set a price or a ceiling for such models."
  return refused("model_not_priced", message)
}

function tooExpensive(costNanosMax: bigint): Refused {
  const usd = formatUsd(costNanosMax * PICOS_PER_NANO)
  const message =
    `This call may cost more than $${usd}, the most that this key allows a call (max_cost_usd). Send less, ask for less ` +
    "output or a cheaper model, or ask an admin to raise the cap."
  return refused("call_too_expensive", message)
}

function refused(code: ErrorCode, message: string): Refused {
  return { kind: "refused", error: new ApiError(code, message), reason: "call cap" }
}
