/**
 * The caps that a key or its project puts on each single call: output, input, cost. More output than the cap is clamped
 * (the provider is asked for less) or refused, as the key says; more input, or a cost that no output would lower, is refused.
 */
import type { VirtualKey } from "../identity/virtual-key.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import { formatUsd, nanosRoundedUp, PICOS_PER_NANO } from "../pricing/money.ts"
import { worstCaseCost } from "../pricing/worst-case.ts"
import type { RequestFacts } from "../providers/dialect.ts"
import type { Route } from "../providers/router.ts"
import type { Call } from "./call.ts"
import { estimateUsage } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Refused } from "./enter.ts"
import type { Asked } from "./read-request.ts"

/** `outputTokensMax` is what the provider is to be asked for; null where the caller's own stands. */
export type Capped = { readonly kind: "capped"; readonly outputTokensMax: number | null } | Refused

const UNCAPPED: Capped = { kind: "capped", outputTokensMax: null }

export function capCall(plane: DataPlane, call: Call, key: VirtualKey, asked: Asked, route: Route): Capped {
  const { caps } = key
  const isCapped = caps.outputTokensMax !== null || caps.inputTokensMax !== null || caps.costNanosMax !== null
  if (!isCapped || asked.facts.isFree) return UNCAPPED
  const { likely } = estimateUsage(asked.facts, asked.body.length, 0)
  if (caps.inputTokensMax !== null && likely.inputUncachedTokens > caps.inputTokensMax) {
    const message =
      `This call has about ${likely.inputUncachedTokens} input tokens, and this key allows ${caps.inputTokensMax} a call ` +
      "(max_input_tokens). Send less, or ask an admin to raise the cap."
    return refused("call_too_large", message)
  }
  // What is billed by units has no output that could be clamped.
  const isTokenized = asked.facts.units === null
  const byTokens = isTokenized ? clampOutput(asked.facts, caps.outputTokensMax) : null
  const isOver = byTokens !== null && asked.facts.outputTokensMax !== null
  if (isOver && caps.policy === "deny") {
    const message =
      `This call asks for up to ${asked.facts.outputTokensMax} output tokens, and this key allows ${byTokens} a call ` +
      "(max_output_tokens). Ask for less, or ask an admin to raise the cap."
    return refused("call_too_large", message)
  }
  if (caps.costNanosMax === null) return { kind: "capped", outputTokensMax: byTokens }
  return capCost(plane, call, asked, route, { byTokens, costNanosMax: caps.costNanosMax, policy: caps.policy })
}

/** The cap, where the caller asks for more or leaves it open; null where its own is within. */
function clampOutput({ outputTokensMax }: RequestFacts, cap: number | null): number | null {
  return cap !== null && (outputTokensMax === null || outputTokensMax > cap) ? cap : null
}

type CostCap = { readonly byTokens: number | null; readonly costNanosMax: bigint; readonly policy: "clamp" | "deny" }

function capCost(plane: DataPlane, call: Call, asked: Asked, route: Route, cap: CostCap): Capped {
  const question = { provider: route.provider.pricedAs, model: route.model, atMs: call.arrivedMs }
  const found = plane.priceBook.tiers(question)
  const costOf = (outputTokensMax: number): bigint | null => {
    if (found.kind !== "found") return null
    const worst = worstCaseCost(found.rows, { inputTokensMax: asked.body.length, outputTokensMax })
    return worst.kind === "bounded" ? nanosRoundedUp(worst.costPicos) : null
  }
  const wanted = cap.byTokens ?? asked.facts.outputTokensMax
  const ofInput = costOf(0)
  if (ofInput === null) {
    const message =
      `This key caps the cost of a call (max_cost_usd), and the model \`${route.model.slice(0, 100)}\` has no price here, ` +
      "so its cost cannot be bounded. Use a priced model, or ask an admin to add the price under `prices.files`."
    return refused("model_not_priced", message)
  }
  const isWithin = wanted !== null && (costOf(wanted) ?? 0n) <= cap.costNanosMax
  if (isWithin) return { kind: "capped", outputTokensMax: cap.byTokens }
  const affordable = ofInput > cap.costNanosMax ? 0 : mostWithin(cap.costNanosMax, wanted ?? OUTPUT_MAX, costOf)
  if (affordable === 0 || (cap.policy === "deny" && wanted !== null)) return tooExpensive(cap.costNanosMax)
  return { kind: "capped", outputTokensMax: affordable }
}

/** No model answers with more. */
const OUTPUT_MAX = 10_000_000

/** The most output tokens whose worst case costs no more than the cap: the cost rises with them. */
function mostWithin(costNanosMax: bigint, outputTokensMax: number, costOf: (tokens: number) => bigint | null): number {
  let within = 0
  let beyond = outputTokensMax + 1
  while (beyond - within > 1) {
    const middle = Math.floor((within + beyond) / 2)
    if ((costOf(middle) ?? 0n) <= costNanosMax) within = middle
    else beyond = middle
  }
  return within
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
