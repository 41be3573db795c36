/** The alert rules of a file, as tests read them. */
import { readFileSync } from "node:fs"
import { parse } from "yaml"

export type AlertRule = {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

export function alertRules(file: string): AlertRule[] {
  const { groups } = parse(readFileSync(file, "utf8")) as { groups: { rules: AlertRule[] }[] }
  return groups.flatMap(({ rules }) => rules)
}
