/** What the form of a rule holds while it is typed, and what the API is told of it. Pure. */
import type { AlertRule, AlertScope, NewAlertRule } from "../../api/alerts.ts"
import { readThresholds } from "../budgets/draft.ts"
import { groupsOf, limitKindsOf, parametersOtherwise, percentsOf, RULE_KINDS } from "./rule-kinds.ts"

export type RuleDraft = {
  readonly name: string
  readonly kind: string
  readonly scope: AlertScope
  readonly channelIds: readonly string[] | null
  /** Numbers as they are typed, by their name. */
  readonly numbers: Readonly<Record<string, string>>
  readonly limitKinds: readonly string[]
  readonly thresholds: string
  readonly forecastThresholds: string
  readonly groups: readonly string[]
}
export type RuleFaults = Readonly<Record<string, string>>

export function ruleDraft(rule: Pick<AlertRule, "name" | "kind" | "scope" | "channel_ids" | "parameters">): RuleDraft {
  const { name, kind, scope, channel_ids: channelIds, parameters } = rule
  return { name, kind, scope, channelIds, ...parameterDraft(kind, parameters) }
}

/** The parameters of a kind in the form; what is absent is the kind's default. */
export function parameterDraft(
  kind: string,
  given: Readonly<Record<string, unknown>>,
): Omit<RuleDraft, "name" | "kind" | "scope" | "channelIds"> {
  const parameters = { ...parametersOtherwise(kind), ...given }
  return {
    numbers: Object.fromEntries((RULE_KINDS[kind]?.fields ?? []).map(({ name }) => [name, String(parameters[name])])),
    limitKinds: limitKindsOf(parameters),
    thresholds: percentsOf(parameters, "thresholds").join(", "),
    forecastThresholds: percentsOf(parameters, "forecast_thresholds").join(", "),
    groups: groupsOf(parameters),
  }
}

export function readRule(draft: RuleDraft): { readonly wanted: NewAlertRule } | { readonly faults: RuleFaults } {
  const faults: Record<string, string> = {}
  if (draft.name.trim() === "") faults.name = "Give the rule a name, by which its messages are found again"
  const parameters: Record<string, unknown> = {}
  const known = RULE_KINDS[draft.kind]
  for (const { name, min, max } of known?.fields ?? []) {
    const text = (draft.numbers[name] ?? "").trim().replaceAll(",", "")
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min || value > max) faults[name] = `Write a whole number from ${min} to ${max}`
    else parameters[name] = value
  }
  if (known?.hasThresholds === true) addThresholds(draft, parameters, faults)
  if (known?.hasGroups === true) {
    if (draft.groups.length === 0) faults.groups = "Choose at least one"
    parameters.by = draft.groups
  }
  if (draft.channelIds?.length === 0) faults.channels = "Choose at least one channel, or all of them"
  if (Object.keys(faults).length > 0) return { faults }
  const { kind, scope, channelIds } = draft
  return { wanted: { name: draft.name.trim(), kind, scope, channel_ids: channelIds, parameters } }
}

function addThresholds(draft: RuleDraft, parameters: Record<string, unknown>, faults: Record<string, string>): void {
  const used = readThresholds(draft.thresholds)
  const going = readThresholds(draft.forecastThresholds)
  if ("error" in used) faults.thresholds = used.error
  else if (used.percents.length === 0) faults.thresholds = "Write at least one percent"
  else parameters.thresholds = used.percents
  if ("error" in going) faults.forecastThresholds = going.error
  else parameters.forecast_thresholds = going.percents
  if (draft.limitKinds.length === 0) faults.limitKinds = "Choose at least one"
  parameters.limit_kinds = draft.limitKinds
}
