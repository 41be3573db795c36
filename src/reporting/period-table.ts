/** A month's statement as a table, for files that go to accounting. Columns are only ever added at the end. */
import { LINE_SUMS } from "../ledger/period-lines.ts"
import type { Statement } from "../ledger/periods.ts"
import type { Cell, Column, Table } from "./table.ts"

const TEXTS = [
  ...["organization_id", "organization", "period", "state", "line", "for_period"],
  ...["project_id", "project", "client", "cost_center", "provider", "model"],
]

const COLUMNS: readonly Column[] = [
  ...TEXTS.map((name): Column => ({ name, kind: "text" })),
  ...LINE_SUMS.map((name): Column => ({ name, kind: "number" })),
  { name: "closed_at", kind: "time" },
]

/** A row for each line; the sums of the columns are the statement's totals. */
export function periodTable(statement: Statement): Table {
  return { columns: COLUMNS, pages: onePage(statement) }
}

async function* onePage(statement: Statement): AsyncGenerator<Cell[][]> {
  const { organization_id: id, organization, period, state, closed_at: closedAt } = statement
  yield statement.lines.map((line) => [
    ...[id, organization, period, state, lineKind(statement, line.for_period), line.for_period],
    ...[line.project_id, line.project, line.client, line.cost_center, line.provider, line.model],
    ...LINE_SUMS.map((name) => line[name]),
    closedAt?.toISOString() ?? null,
  ])
}

/** `prior_period`: of an earlier month, which was closed before this came. */
export function lineKind({ period }: Pick<Statement, "period">, forPeriod: string): "usage" | "prior_period" {
  return forPeriod === period ? "usage" : "prior_period"
}
