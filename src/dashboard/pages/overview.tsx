/** The first page: how much, is it fine, and where does it go. */
import { useQuery } from "@tanstack/react-query"
import { projectionQuery } from "../api/limits.ts"
import { summaryQuery } from "../api/usage.ts"
import { ExportMenu } from "../frame/export-menu.tsx"
import { PageHead } from "../frame/page-head.tsx"
import { PeriodControls } from "../frame/period-controls.tsx"
import { TextButton } from "../ui/button.tsx"
import { Card } from "../ui/card.tsx"
import { Segments } from "../ui/field.tsx"
import { Choice } from "../ui/menu.tsx"
import { useView } from "../view/use-view.ts"
import { filterQuery } from "../view/view.ts"
import { BudgetsToWatch } from "./budgets-to-watch.tsx"
import { Figures } from "./figures.tsx"
import { Hero } from "./hero.tsx"
import { LiveCard } from "./live-card.tsx"
import { TopKeys } from "./top-keys.tsx"
import { SeriesBody, useSeries } from "./usage-parts.tsx"
import { WhereItGoes } from "./where-it-goes.tsx"

const BY = { model: "Model", project: "Project", key: "Key", provider: "Provider", token_class: "Token class" } as const
const OPTIONS = (Object.keys(BY) as (keyof typeof BY)[]).map((value) => ({ value, text: BY[value] }))
const TOP = 7

export function OverviewPage() {
  const { view, set, search } = useView()
  const by = view.by.find((name): name is keyof typeof BY => name in BY) ?? "model"
  const filter = { ...filterQuery({ ...view, filters: {}, truths: {} }), compare: view.compare }
  const whole = useQuery(summaryQuery("admin", { ...filter, latency: true }))
  const series = useSeries("admin", { ...filter, group_by: by, top: TOP })
  const budgets = useQuery(projectionQuery(view.organization === null ? {} : { organization: view.organization }))
  const data = whole.data
  return (
    <>
      <PageHead title="Overview">
        <PeriodControls range={data?.range} previous={data?.previous ?? null} />
        <ExportMenu
          realm="admin"
          kind="series"
          query={{ ...filter, group_by: by, top: TOP }}
          records={filterQuery({ ...view, filters: {}, truths: {} })}
        />
      </PageHead>
      <div className="grid grid-cols-12 gap-3 sm:gap-4">
        <Hero state={whole} filter={filter} />
        <Figures state={whole} series={series.data} filter={filter} />
        <Card
          title={`Spend per ${series.data?.bucket ?? "day"}`}
          unit="USD"
          className="col-span-12 lg:col-span-8"
          isBusy={series.isPlaceholderData}
          actions={
            <>
              <span className="max-md:hidden">
                <Segments label="By" value={by} options={BY} onChoose={(name) => set({ by: name })} />
              </span>
              <Choice
                label="By"
                className="md:hidden"
                shown={`By ${BY[by].toLowerCase()}`}
                value={by}
                options={OPTIONS}
                onChoose={(name) => set({ by: name })}
              />
              <TextButton onClick={() => set({ view: view.isTable ? null : "table" }, { replace: true })}>
                {view.isTable ? "View as chart" : "View as table"}
              </TextButton>
            </>
          }
        >
          <SeriesBody state={series} by={[by]} measure="spend" isTable={view.isTable} />
        </Card>
        <WhereItGoes state={series} by={by} />
        {budgets.data?.budgets.length === 0 ? <TopKeys filter={filter} /> : <BudgetsToWatch state={budgets} />}
        <LiveCard
          realm="admin"
          organization={search.get("organization")}
          timeZone={data?.range.time_zone ?? "UTC"}
          className="col-span-12 lg:col-span-7"
        />
      </div>
    </>
  )
}
