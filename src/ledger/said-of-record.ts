/** What limits may ask of a call, as its record has it: for what is charged after the call is over. */
import type { SaidOfCall } from "../admission/limits-on.ts"
import type { UsageRecord } from "./usage-record.ts"

export function saidOfRecord(record: UsageRecord): SaidOfCall {
  const { tool, tags, model_routed: model, endpoint, end_customer: endCustomer } = record
  return { tool, tags, model, endpoint, endCustomer }
}
