/** The explorer: why did it cost that. Filters, measure and grouping stand in the URL; a row leads one step deeper. */
import { useQuery } from "@tanstack/react-query"
import type { Query } from "../api/client.ts"
import type { Realm } from "../api/realm.ts"
import { summaryQuery } from "../api/usage.ts"
import type { ChartData } from "../charts/chart-data.ts"
import { ExportMenu } from "../frame/export-menu.tsx"
import { FilterBar } from "../frame/filter-bar.tsx"
import { PageHead } from "../frame/page-head.tsx"
import { PeriodControls } from "../frame/period-controls.tsx"
import { TextButton } from "../ui/button.tsx"
import { Card } from "../ui/card.tsx"
import { Segments } from "../ui/field.tsx"
import { Choice } from "../ui/menu.tsx"
import { SAID } from "../view/chart-of.ts"
import { useView } from "../view/use-view.ts"
import {
  BUCKETS,
  type BucketName,
  filterQuery,
  GROUPS,
  type GroupName,
  MEASURES,
  type MeasureName,
  type View,
} from "../view/view.ts"
import { BreakdownCard, CHART_TOP } from "./breakdown-card.tsx"
import { Crumbs } from "./crumbs.tsx"
import { ExplainCard } from "./explain-card.tsx"
import { OwnLimits } from "./own-limits.tsx"
import { SeriesBody, useSeries } from "./usage-parts.tsx"
import { UsageStrip } from "./usage-strip.tsx"

/** Groups that a key holder's own usage can be told apart by. */
const OWN_GROUPS: ReadonlySet<GroupName> = new Set([
  "model",
  "key",
  "provider",
  "token_class",
  "endpoint",
  "tool",
  "operation",
])
const ORDER_OF: Readonly<Record<MeasureName, string | undefined>> = {
  spend: undefined,
  tokens: "tokens",
  requests: "records",
  latency: undefined,
}

export function UsagePage({ realm }: { realm: Realm }) {
  const { view, set } = useView()
  const by = groupsOf(view, realm)
  const measure = measureOf(view.measure, by)
  const filter: Query = { ...filterQuery(view), compare: view.compare }
  const bucket = view.bucket === "auto" ? null : view.bucket
  const grouped = measure === "latency" ? {} : { group_by: by.join(","), top: CHART_TOP, order_by: ORDER_OF[measure] }
  const chartQuery = { ...filter, ...grouped, bucket, ...(measure === "latency" ? { latency: true } : {}) }
  const series = useSeries(realm, chartQuery)
  const whole = useQuery(summaryQuery(realm, { ...filter, latency: true }))
  const onPick: ChartData["onPick"] = (index) => {
    const picked = series.data?.buckets[index]
    if (picked !== undefined) set({ range: null, from: picked.from, until: picked.until, bucket: null })
  }
  const chartTitle =
    measure === "latency" ? "Time to the first token" : `${MEASURES[measure]} per ${series.data?.bucket ?? "day"}`
  return (
    <>
      <PageHead title={realm === "admin" ? "Usage" : "My usage"} crumbs={realm === "admin" ? <Crumbs /> : undefined}>
        <PeriodControls range={whole.data?.range} previous={whole.data?.previous ?? null} />
        <ExportMenu
          realm={realm}
          kind="summary"
          label="Export this view"
          query={{ ...filter, group_by: by.join(","), top: 5_000 }}
          records={filterQuery(view)}
        />
      </PageHead>
      {realm === "own" && <OwnLimits />}
      <Tools realm={realm} by={by} measure={measure} bucket={series.data?.bucket ?? "auto"} />
      <UsageStrip state={whole} />
      <Card
        className="mt-3 sm:mt-4"
        title={
          by[0] === undefined || measure === "latency"
            ? chartTitle
            : `${chartTitle}, by ${by.map((name) => GROUPS[name].toLowerCase()).join(" and ")}`
        }
        unit={measure === "latency" ? "p50 and p99" : SAID[measure].unit}
        isBusy={series.isPlaceholderData}
        actions={
          <TextButton onClick={() => set({ view: view.isTable ? null : "table" }, { replace: true })}>
            {view.isTable ? "View as chart" : "View as table"}
          </TextButton>
        }
      >
        <SeriesBody
          state={series}
          by={measure === "latency" ? [] : by}
          measure={measure}
          isTable={view.isTable}
          onPick={onPick}
        />
      </Card>
      <div className="mt-3 grid grid-cols-12 gap-3 sm:mt-4 sm:gap-4">
        <BreakdownCard realm={realm} by={by} filter={filter} order={ORDER_OF[measure]} />
        <ExplainCard realm={realm} by={by} filter={filter} />
      </div>
    </>
  )
}

/** What the view is of: filters, and what is measured, by what, in which buckets. */
function Tools({
  realm,
  by,
  measure,
  bucket,
}: {
  realm: Realm
  by: readonly GroupName[]
  measure: MeasureName
  bucket: string
}) {
  const { view, set } = useView()
  return (
    <div className="mb-4 flex flex-wrap items-center gap-2">
      <FilterBar realm={realm} />
      <span className="mr-auto" />
      <Segments label="Measure" value={measure} options={measuresFor(by)} onChoose={(name) => set({ measure: name })} />
      <GroupChoices by={by} realm={realm} />
      <Choice
        label="Bucket"
        shown={view.bucket === "auto" ? capital(bucket) : BUCKETS[view.bucket]}
        value={view.bucket}
        options={(Object.keys(BUCKETS) as BucketName[]).map((value) => ({ value, text: BUCKETS[value] }))}
        onChoose={(name) => set({ bucket: name })}
      />
    </div>
  )
}

function GroupChoices({ by, realm }: { by: readonly GroupName[]; realm: Realm }) {
  const { set } = useView()
  const names = (Object.keys(GROUPS) as GroupName[]).filter((name) => realm === "admin" || OWN_GROUPS.has(name))
  const [first = "model", second] = by
  const options = names.map((value) => ({ value, text: GROUPS[value] }))
  const further = options.filter(({ value }) => value !== first && value !== "token_class")
  return (
    <>
      <Choice
        label="Group by"
        shown={`By ${GROUPS[first].toLowerCase()}`}
        value={first}
        options={options}
        onChoose={(name) => set({ by: name, row: null })}
      />
      {first !== "token_class" && (
        <Choice
          label="Then by"
          className="max-sm:hidden"
          shown={
            <span className="text-meta font-normal text-ink3">
              then {second === undefined ? "none" : GROUPS[second].toLowerCase()}
            </span>
          }
          value={second ?? ""}
          options={[{ value: "", text: "None" }, ...further]}
          onChoose={(name) => set({ by: name === "" ? first : `${first},${name}`, row: null })}
        />
      )}
    </>
  )
}

function groupsOf(view: View, realm: Realm): readonly GroupName[] {
  const by = view.by.filter((name) => realm === "admin" || OWN_GROUPS.has(name)).slice(0, 2)
  return by.length === 0 ? ["model"] : by
}

/** Token classes have money and tokens, and no requests or latency of their own. */
function measuresFor(by: readonly GroupName[]): Readonly<Record<MeasureName, string>> {
  const { spend, tokens } = MEASURES
  return by.includes("token_class") ? ({ spend, tokens } as Readonly<Record<MeasureName, string>>) : MEASURES
}

function measureOf(measure: MeasureName, by: readonly GroupName[]): MeasureName {
  return measure in measuresFor(by) ? measure : "spend"
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
