/** Alerts: who was told what. Five tabs, each with its own address. */
import { Link } from "wouter"
import { PageHead } from "../../frame/page-head.tsx"
import { useView } from "../../view/use-view.ts"
import { NotFound } from "../not-found.tsx"
import { ChannelsTab } from "./channels.tsx"
import { DeliveriesTab } from "./deliveries.tsx"
import { DigestsTab } from "./digests.tsx"
import { HistoryTab } from "./history.tsx"
import { RulesTab } from "./rules.tsx"

const TABS = {
  rules: "Rules",
  history: "History",
  deliveries: "Deliveries",
  channels: "Channels",
  digests: "Digests",
} as const
type Tab = keyof typeof TABS

export function AlertsPage({ tab, id }: { tab: string; id: string | null }) {
  if (!(tab in TABS)) return <NotFound />
  return (
    <>
      <PageHead title="Alerts" />
      <Tabs shown={tab as Tab} />
      {tab === "rules" && <RulesTab id={id} />}
      {tab === "history" && <HistoryTab id={id} />}
      {tab === "deliveries" && <DeliveriesTab />}
      {tab === "channels" && <ChannelsTab id={id} />}
      {tab === "digests" && <DigestsTab id={id} />}
    </>
  )
}

function Tabs({ shown }: { shown: Tab }) {
  const { href } = useView()
  return (
    <nav
      aria-label="Parts of alerts"
      className="mb-4 flex gap-x-5 overflow-x-auto border-b border-line max-sm:-mx-4 max-sm:px-4"
    >
      {(Object.entries(TABS) as [Tab, string][]).map(([tab, name]) => (
        <Link
          key={tab}
          href={href(tab === "rules" ? "/alerts" : `/alerts/${tab}`)}
          aria-current={tab === shown ? "page" : undefined}
          className={`-mb-px flex items-center border-b-2 py-2 font-medium whitespace-nowrap outline-offset-[-2px] max-sm:min-h-11 ${tab === shown ? "border-ink text-ink" : "border-transparent text-ink2 hover:text-ink"}`}
        >
          {name}
        </Link>
      ))}
    </nav>
  )
}
