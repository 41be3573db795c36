/** How many budgets are at risk, beside the name of their page; nothing where none is, or where nobody knows. */
import { useQuery } from "@tanstack/react-query"
import { projectionQuery } from "../api/limits.ts"
import { countAtRisk } from "../pages/budgets/rows.ts"
import { useView } from "../view/use-view.ts"

export function RiskBadge({ isOnIcon = false }: { isOnIcon?: boolean }) {
  const { view } = useView()
  const { data } = useQuery(projectionQuery(view.organization === null ? {} : { organization: view.organization }))
  const atRisk = data === undefined ? 0 : countAtRisk(data.budgets)
  if (atRisk === 0) return null
  const place = isOnIcon
    ? "absolute -top-1.5 left-3"
    : "ml-auto max-lg:absolute max-lg:top-0.5 max-lg:right-0.5 max-lg:ml-0"
  return (
    <span className={`${place} rounded-full bg-warnsoft px-1.5 text-tick font-[550] text-warn`}>
      {atRisk}
      <span className="sr-only"> at risk</span>
    </span>
  )
}
