/** The months of an organization: which are closed, and which finance can close. */
import { useQuery } from "@tanstack/react-query"
import { type Period, periodsQuery } from "../../api/prices.ts"
import { fullDay } from "../../format/moment.ts"
import { Card, Failure, Skeleton } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { type Column, DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"

const MONTHS_SHOWN = 12

export function Months({ organization }: { organization: string | undefined }) {
  const { href } = useView()
  const periods = useQuery(periodsQuery(organization))
  return (
    <Card title="Months" unit="Statements, closed for good by finance">
      {periods.isPending ? (
        <Skeleton lines={3} />
      ) : periods.isError ? (
        <Failure error={periods.error} what="Months" retry={() => void periods.refetch()} />
      ) : (
        <DataTable
          label="Months"
          columns={COLUMNS}
          rows={periods.data.slice(0, MONTHS_SHOWN)}
          rowId={({ period }) => period}
          href={({ period }) => href(`/prices/months/${period}`, {}, "range")}
        />
      )}
    </Card>
  )
}

const COLUMNS: readonly Column<Period>[] = [
  { id: "period", head: "Month", cell: ({ period }) => <span className="font-medium">{period}</span> },
  { id: "state", head: "State", cell: (period) => <PeriodState period={period} /> },
  {
    id: "closed",
    head: "Closed",
    cell: ({ closed_at: at, time_zone: zone }) => (at === null ? "Not yet" : fullDay(at, zone)),
    from: "sm",
    className: "text-ink2",
  },
  {
    id: "zone",
    head: "Zone",
    cell: ({ time_zone: zone }) => zone,
    from: "md",
    className: "text-ink2",
  },
]

export function PeriodState({ period: { state } }: { period: Pick<Period, "state"> }) {
  if (state === "closed") return <Pill>Closed</Pill>
  return state === "open" ? <Pill tone="accent">Can be closed</Pill> : <Pill>Running</Pill>
}
