/** The filter and the scope as SQL: conditions over records, over the rollup, or over the series of `usage_day`. */
import { DIMENSIONS, type DimensionName, LIST_FILTERS } from "./dimensions.ts"
import type { UsageFilter } from "./question.ts"
import type { Scope } from "./scope.ts"
import type { SqlText } from "./sql-text.ts"

export type Source = "records" | "rollup"

/** The length at which the rollup, and `DIMENSIONS` over records, cut names. */
const NAME_LENGTH_MAX = 120
const CUT_NAMES: ReadonlySet<DimensionName> = new Set(["model", "tool", "operation"])

/** SQL of a dimension over rows of this alias. */
export function columnOf(name: DimensionName, source: Source, alias: string): string {
  const { rollup, record } = DIMENSIONS[name]
  if (source === "rollup") {
    if (rollup === null) throw new Error(`The rollup does not know the dimension ${name}.`)
    return `${alias}.${rollup}`
  }
  return record.startsWith("left(") ? record.replace("left(", `left(${alias}.`) : `${alias}.${record}`
}

/** Conditions over rows of this alias but for those of time and organization; joined by AND they hold together. */
export function filterConditions(text: SqlText, filter: UsageFilter, source: Source, alias: string): string[] {
  const conditions: string[] = []
  for (const name of LIST_FILTERS) {
    const values = filter[name]
    if (values === undefined || name === "organization") continue
    if (name === "tag") conditions.push(tagCondition(text, values, alias))
    else conditions.push(`${columnOf(name, source, alias)} = ANY (${text.texts(cut(name, values))})`)
  }
  if (filter.stream !== undefined) conditions.push(`${filter.stream ? "" : "NOT "}${alias}.stream`)
  if (filter.estimated !== undefined) {
    conditions.push(`${alias}.usage_source ${filter.estimated ? "=" : "<>"} 'estimated'`)
  }
  if (filter.unpriced !== undefined) {
    conditions.push(`${alias}.price_state ${filter.unpriced ? "=" : "<>"} 'unpriced'`)
  }
  return conditions
}

/** '' stands for records without a tag. */
function tagCondition(text: SqlText, values: readonly string[], alias: string): string {
  const overlap = `${alias}.tags && ${text.texts(values)}`
  return values.includes("") ? `(${overlap} OR ${alias}.tags = '{}')` : overlap
}

/** What a scope of less than everything leaves of rows of this alias. */
export function scopeConditions(text: SqlText, scope: Scope, alias: string): string[] {
  if (scope.kind === "all") return []
  const { organizationIds, projectIds, userIds = [], keyIds = [] } = scope
  const parts = [
    ["organization_id", organizationIds],
    ["project_id", projectIds],
    ["user_id", userIds],
    ["key_id", keyIds],
  ] as const
  const visible = parts
    .filter(([, ids]) => ids.length > 0)
    .map(([column, ids]) => `${alias}.${column} = ANY (${text.texts(ids)})`)
  return visible.length === 0 ? ["false"] : [`(${visible.join(" OR ")})`]
}

function cut(name: DimensionName, values: readonly string[]): readonly string[] {
  // Characters as Postgres counts them: code points.
  return CUT_NAMES.has(name) ? values.map((value) => [...value].slice(0, NAME_LENGTH_MAX).join("")) : values
}
