/** What was raised, newest first: of which limit or thing, from which threshold on, and who was told. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { Link, useLocation } from "wouter"
import { type Alert, alertsQuery, type DeliveryState } from "../../api/alerts.ts"
import { dayAndTime, zoneName } from "../../format/moment.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Missing, Pill } from "../../ui/pill.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { type Column, DataTable, Pager } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { STATES, useAlertNames, useZone } from "./words.ts"

export function HistoryTab({ id }: { id: string | null }) {
  const { href, search, set } = useView()
  const [, go] = useLocation()
  const after = search.get("after")
  const { data, error, isPending, isPlaceholderData, refetch } = useQuery(alertsQuery(after))
  const names = useAlertNames()
  const zone = useZone()
  const columns = useMemo(() => alertColumns(names, zone), [names, zone])
  const kept = { after }
  const next = data?.next ?? null
  return (
    <>
      <Card
        title="History"
        unit={data === undefined ? undefined : `what was raised, newest first, ${zoneName(zone, new Date())}`}
        isBusy={isPlaceholderData}
      >
        {isPending ? (
          <Skeleton lines={8} />
        ) : error !== null ? (
          <Failure error={error} what="The history" retry={() => void refetch()} />
        ) : data.data.length === 0 ? (
          <Empty action={<ButtonLink href={href("/alerts")}>See the rules</ButtonLink>}>
            Nothing was raised. What a rule finds stands here from then on, with everyone who was told of it.
          </Empty>
        ) : (
          <>
            <DataTable
              label="What was raised"
              columns={columns}
              rows={data.data}
              rowId={(alert) => alert.id}
              href={(alert) => href(`/alerts/history/${alert.id}`, kept)}
              isChosen={(alert) => alert.id === id}
            />
            <Pager
              newest={after === null ? null : () => set({ after: null })}
              older={next === null ? null : () => set({ after: next })}
            />
          </>
        )}
      </Card>
      {id !== null && data !== undefined && (
        <AlertSheet
          alert={data.data.find((alert) => alert.id === id)}
          onClose={() => go(href("/alerts/history", kept))}
        />
      )}
    </>
  )
}

function alertColumns(names: ReturnType<typeof useAlertNames>, zone: string): readonly Column<Alert>[] {
  return [
    {
      id: "title",
      head: "What",
      cell: (alert) => (
        <span className="block">
          <span className="font-medium">{alert.title || alert.subject}</span>
          <span className="block text-meta text-ink3 sm:hidden">{dayAndTime(alert.raised_at, zone)}</span>
        </span>
      ),
    },
    {
      id: "raised",
      head: "Raised",
      cell: ({ raised_at: at }) => (
        <time dateTime={at} className="whitespace-nowrap text-ink2">
          {dayAndTime(at, zone)}
        </time>
      ),
      from: "sm",
    },
    {
      id: "threshold",
      head: "From",
      isFigure: true,
      cell: ({ threshold_percent: percent, forecast: isForecast }) =>
        percent === 0 ? <Missing why="The rule has no thresholds" /> : `${percent} %${isForecast ? " ahead" : ""}`,
      from: "md",
    },
    {
      id: "rule",
      head: "Rule",
      cell: ({ rule_id: id }) => names.rule(id),
      from: "lg",
      className: "text-ink2 whitespace-nowrap",
    },
    { id: "told", head: "Told", cell: (alert) => <Told alert={alert} channelName={names.channel} /> },
  ]
}

/** Who was told, and who could not be. */
function Told({ alert, channelName }: { alert: Alert; channelName: (id: string) => string }) {
  if (alert.told_at === null) return <Pill title="It stands in the subject's next message">Waits</Pill>
  if (alert.deliveries.length === 0)
    return <Missing why="There was no channel to tell, or the message is no longer kept" />
  return (
    <span className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
      {alert.state === "folded" ? (
        <Pill title="It stands in a message about something else of this subject">Folded</Pill>
      ) : (
        <span className="text-ink2 max-xl:hidden">
          {alert.deliveries
            .map(({ channel_id: id }) => channelName(id))
            .sort()
            .join(", ")}
        </span>
      )}
      <Pill tone={STATES[worst(alert)].tone}>{arrivedWords(alert)}</Pill>
    </span>
  )
}

/** `Delivered`, `2 of 3 delivered`. */
function arrivedWords({ deliveries }: Alert): string {
  const arrived = deliveries.filter(({ state }) => state === "delivered").length
  return arrived === deliveries.length ? STATES.delivered.name : `${arrived} of ${deliveries.length} delivered`
}

function worst({ deliveries }: Alert): DeliveryState {
  const states = deliveries.map(({ state }) => state)
  return states.includes("failed") ? "failed" : states.includes("waiting") ? "waiting" : "delivered"
}

function AlertSheet({ alert, onClose }: { alert: Alert | undefined; onClose: () => void }) {
  const names = useAlertNames()
  const zone = useZone()
  const { href } = useView()
  if (alert === undefined) {
    return (
      <Sheet title="Not on this page" onClose={onClose}>
        <Empty>The alert stands on another page of the history, or is no longer kept.</Empty>
      </Sheet>
    )
  }
  const at = (instant: string) => `${dayAndTime(instant, zone)} ${zoneName(zone, instant)}`
  return (
    <Sheet
      title={alert.title || alert.subject}
      subtitle={`Raised ${at(alert.raised_at)}`}
      onClose={onClose}
      isWide
      foot={
        alert.path !== "" && (
          <Link href={alert.path.replace(/^\/dashboard/, "")} className="link control inline-flex items-center">
            Look at it
          </Link>
        )
      }
    >
      <div className="flex flex-col gap-6">
        {alert.advice !== "" && <p className="rounded-control bg-sunken px-3 py-2.5 text-table">{alert.advice}</p>}
        <Facts>
          {alert.facts.map(({ name, value }) => (
            <Fact key={name} name={name}>
              {value}
            </Fact>
          ))}
          <Fact name="Rule">
            <Link href={href(`/alerts/rules/${alert.rule_id}`)} className="link">
              {names.rule(alert.rule_id)}
            </Link>
          </Fact>
          {alert.limit_id !== null && (
            <Fact name="Limit">
              <Link href={href(`/budgets/${alert.limit_id}`)} className="link">
                See where it stands
              </Link>
            </Fact>
          )}
          <Fact name="Told">
            {alert.told_at === null ? "Not yet: it waits for the next message" : at(alert.told_at)}
          </Fact>
        </Facts>
        {alert.contributors.length > 0 && <Contributors alert={alert} />}
        {alert.deliveries.length > 0 && <Messages alert={alert} />}
      </div>
    </Sheet>
  )
}

function Contributors({ alert: { contributors } }: { alert: Alert }) {
  return (
    <section>
      <h3 className="mb-2 text-body font-semibold">Top contributors</h3>
      <Facts>
        {contributors.map(({ name, value }) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
      </Facts>
    </section>
  )
}

function Messages({ alert: { deliveries } }: { alert: Alert }) {
  const names = useAlertNames()
  const { href } = useView()
  return (
    <section>
      <h3 className="mb-2 text-body font-semibold">Messages</h3>
      <ul className="divide-y divide-line text-table">
        {deliveries.map(({ id, channel_id: channel, state }) => (
          <li key={id} className="flex items-center justify-between gap-3 py-2">
            <Link href={href("/alerts/deliveries", { channel })} className="link">
              {names.channel(channel)}
            </Link>
            <Pill tone={STATES[state].tone}>{STATES[state].name}</Pill>
          </li>
        ))}
      </ul>
    </section>
  )
}
