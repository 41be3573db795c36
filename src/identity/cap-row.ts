/** The caps of a key or a project as Postgres gives and takes them. */
import type { CallCaps, CapPolicy } from "./call-caps.ts"

export type CapRow = {
  readonly max_output_tokens: string | null
  readonly max_input_tokens: string | null
  readonly max_cost_nanos: string | null
  readonly cap_policy: CapPolicy
}

/** What the row says. */
export function capsFrom(row: CapRow): CallCaps {
  return {
    outputTokensMax: row.max_output_tokens === null ? null : Number(row.max_output_tokens),
    inputTokensMax: row.max_input_tokens === null ? null : Number(row.max_input_tokens),
    costNanosMax: row.max_cost_nanos === null ? null : BigInt(row.max_cost_nanos),
    policy: row.cap_policy,
  }
}

/** The row that says it. */
export function capRowOf(caps: CallCaps): CapRow {
  return {
    max_output_tokens: caps.outputTokensMax?.toString() ?? null,
    max_input_tokens: caps.inputTokensMax?.toString() ?? null,
    // As text: the driver sends a bigint as int8, which is too small for the greatest amounts.
    max_cost_nanos: caps.costNanosMax?.toString() ?? null,
    cap_policy: caps.policy,
  }
}
