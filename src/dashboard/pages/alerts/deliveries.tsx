/** Each message and what became of it: how often it was tried, what came back, and another try. */
import { useQuery } from "@tanstack/react-query"
import { type AlertDelivery, alertChannelsQuery, deliveriesQuery, useRedeliver } from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { dayAndTime, inTime, zoneName } from "../../format/moment.ts"
import { Button, TextButton } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Choice } from "../../ui/menu.tsx"
import { Pill } from "../../ui/pill.tsx"
import { type Column, DataTable, Pager } from "../../ui/table.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { STATES, useAlertNames, useZone } from "./words.ts"

const ANY = ""

export function DeliveriesTab() {
  const { search, set } = useView()
  const [channel, state, after] = [search.get("channel"), search.get("state"), search.get("after")]
  const { data, error, isPending, isPlaceholderData, refetch } = useQuery(deliveriesQuery({ channel, state, after }))
  const zone = useZone()
  const columns = useColumns(zone)
  const next = data?.next ?? null
  const isFiltered = channel !== null || state !== null
  return (
    <Card
      title="Deliveries"
      unit={`newest first, ${zoneName(zone, new Date())}`}
      isBusy={isPlaceholderData}
      actions={<Filters channel={channel} state={state} />}
    >
      {isPending ? (
        <Skeleton lines={8} />
      ) : error !== null ? (
        <Failure error={error} what="Deliveries" retry={() => void refetch()} />
      ) : data.data.length === 0 ? (
        isFiltered ? (
          <Empty
            action={<Button onClick={() => set({ channel: null, state: null, after: null })}>Clear filters</Button>}
          >
            No message of this channel and state.
          </Empty>
        ) : (
          <Empty>No message was sent yet. Each stands here with its tries and what its receiver answered.</Empty>
        )
      ) : (
        <>
          <DataTable label="Deliveries" columns={columns} rows={data.data} rowId={({ id }) => id} />
          <Pager
            newest={after === null ? null : () => set({ after: null })}
            older={next === null ? null : () => set({ after: next })}
          />
        </>
      )}
    </Card>
  )
}

function Filters({ channel, state }: { channel: string | null; state: string | null }) {
  const { set } = useView()
  const channels = useQuery(alertChannelsQuery).data ?? []
  const names = useAlertNames()
  const states = Object.entries(STATES).map(([value, { name }]) => ({ value, text: name }))
  return (
    <>
      <Choice
        label="Channel"
        shown={<span className="truncate">{channel === null ? "All channels" : names.channel(channel)}</span>}
        value={channel ?? ANY}
        options={[{ value: ANY, text: "All channels" }, ...channels.map(({ id, name }) => ({ value: id, text: name }))]}
        onChoose={(value) => set({ channel: value, after: null })}
      />
      <Choice
        label="State"
        shown={state === null ? "All states" : (states.find(({ value }) => value === state)?.text ?? state)}
        value={state ?? ANY}
        options={[{ value: ANY, text: "All states" }, ...states]}
        onChoose={(value) => set({ state: value, after: null })}
      />
    </>
  )
}

function useColumns(zone: string): readonly Column<AlertDelivery>[] {
  const session = useSession()
  const names = useAlertNames()
  const mayAct = mayChange(session, "alerts")
  return [
    {
      id: "title",
      head: "Message",
      cell: (delivery) => <Message delivery={delivery} zone={zone} />,
    },
    {
      id: "channel",
      head: "Channel",
      cell: ({ channel_id: id }) => names.channel(id),
      from: "md",
      className: "text-ink2 whitespace-nowrap",
    },
    {
      id: "time",
      head: "Made",
      cell: ({ created_at: at }) => (
        <time dateTime={at} className="whitespace-nowrap text-ink2">
          {dayAndTime(at, zone)}
        </time>
      ),
      from: "lg",
    },
    {
      id: "state",
      head: "State",
      cell: (delivery) => (
        <>
          <Pill tone={STATES[delivery.state].tone}>{STATES[delivery.state].name}</Pill>
          {mayAct && (
            <span className="block sm:hidden">
              <Redeliver delivery={delivery} />
            </span>
          )}
        </>
      ),
    },
    { id: "attempts", head: "Tries", isFigure: true, cell: ({ attempts }) => attempts, from: "sm" },
    {
      id: "response",
      head: "Response",
      cell: (delivery) => <Response delivery={delivery} zone={zone} />,
      from: "sm",
      className: "text-ink2",
    },
    ...(mayAct
      ? [
          {
            id: "act",
            head: <span className="sr-only">Act</span>,
            cell: (delivery: AlertDelivery) => <Redeliver delivery={delivery} />,
            className: "text-right",
            from: "sm" as const,
          },
        ]
      : []),
  ]
}

/** Its title and why it was made; on narrower pages all that has no column there. */
function Message({ delivery, zone }: { delivery: AlertDelivery; zone: string }) {
  const names = useAlertNames()
  return (
    <span className="block">
      <span className="font-medium">{delivery.title}</span>
      <span className="block text-meta text-ink3">
        {reasonWords(delivery, names.rule)}
        <span className="md:hidden">, to {names.channel(delivery.channel_id)}</span>
        <span className="lg:hidden">, {dayAndTime(delivery.created_at, zone)}</span>
      </span>
      <span className="block text-meta text-ink2 sm:hidden">
        <Response delivery={delivery} zone={zone} />
      </span>
    </span>
  )
}

function reasonWords({ rule_id: rule, digest_id: digest }: AlertDelivery, ruleName: (id: string) => string): string {
  if (rule !== null) return ruleName(rule)
  return digest == null ? "Test" : "Digest"
}

/** What came back last, and when it is tried again. */
function Response({ delivery, zone }: { delivery: AlertDelivery; zone: string }) {
  const { state, last_error: fault, delivered_at: at, next_attempt_at: nextAt } = delivery
  if (state === "delivered") return at === null ? "Accepted" : `Accepted ${dayAndTime(at, zone)}`
  const next = nextAt === null ? null : `next try ${inTime(nextAt, new Date()) ?? "now"}`
  return [fault === "" ? null : sentence(fault), next].filter((part) => part !== null).join("; ") || "Not tried yet"
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function Redeliver({ delivery: { id, state, title } }: { delivery: AlertDelivery }) {
  const again = useRedeliver()
  const toast = useToast()
  if (state === "waiting") return null
  return (
    <TextButton
      aria-label={`Redeliver ${title}`}
      disabled={again.isPending}
      onClick={() =>
        again.mutate(id, {
          onSuccess: () => toast("Message is due again"),
          onError: (error) => toast(error.message),
        })
      }
    >
      Redeliver
    </TextButton>
  )
}
