/** Channels: where messages go. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { type AlertChannel, alertChannelsQuery } from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { type Column, DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { ChannelForm } from "./channel-form.tsx"
import { ChannelSheet } from "./channel-sheet.tsx"
import { channelKindName, channelTarget, useScopeWords } from "./words.ts"

export function ChannelsTab({ id }: { id: string | null }) {
  const session = useSession()
  const { href, view } = useView()
  const [, go] = useLocation()
  const channels = useQuery(alertChannelsQuery)
  const scopeWords = useScopeWords()
  const columns = useMemo(() => channelColumns(scopeWords), [scopeWords])
  const mayMake = mayChange(session, "alerts")
  const close = () => go(href("/alerts/channels"))
  const shown = (channels.data ?? []).filter(
    ({ scope: { organization_id: of } }) => view.organization === null || of === undefined || of === view.organization,
  )
  const add = (words: string) =>
    mayMake && (
      <ButtonLink look="primary" href={href("/alerts/channels/new")}>
        {words}
      </ButtonLink>
    )
  return (
    <>
      <Card
        title="Channels"
        unit={channels.data === undefined ? undefined : String(shown.length)}
        isBusy={channels.isFetching && !channels.isPending}
        actions={shown.length > 0 && add("Add channel")}
      >
        {channels.isPending ? (
          <Skeleton lines={4} />
        ) : channels.isError ? (
          <Failure error={channels.error} what="Channels" retry={() => void channels.refetch()} />
        ) : shown.length === 0 ? (
          <Empty action={add("Add the first channel")}>
            A channel is where messages go: mail addresses, a chat of Slack, Discord or Teams, or a webhook of your own.
            Rules that name no channel tell all of them.
          </Empty>
        ) : (
          <DataTable
            label="Channels"
            columns={columns}
            rows={shown}
            rowId={(channel) => channel.id}
            href={(channel) => href(`/alerts/channels/${channel.id}`)}
            isChosen={(channel) => channel.id === id}
            sortedAtFirst={{ id: "name", desc: false }}
          />
        )}
      </Card>
      {id === "new" && <ChannelForm channel={null} onClose={close} />}
      {id !== null && id !== "new" && channels.data !== undefined && (
        <ChannelSheet channel={shown.find((channel) => channel.id === id)} onClose={close} />
      )}
    </>
  )
}

function channelColumns(scopeWords: (scope: AlertChannel["scope"]) => string): readonly Column<AlertChannel>[] {
  return [
    {
      id: "name",
      head: "Channel",
      cell: (channel) => (
        <span className="block">
          <span className="font-medium">{channel.name}</span>
          <span className="block text-meta text-ink3 sm:hidden">{channelTarget(channel)}</span>
        </span>
      ),
      sortBy: ({ name }) => name,
    },
    { id: "kind", head: "Kind", cell: ({ kind }) => channelKindName(kind), sortBy: ({ kind }) => kind },
    { id: "target", head: "Goes to", cell: channelTarget, from: "sm", className: "text-ink2" },
    { id: "scope", head: "Of", cell: ({ scope }) => scopeWords(scope), from: "md", className: "text-ink2" },
    {
      id: "state",
      head: "State",
      cell: ({ disabled_at: disabledAt }) => (disabledAt === null ? <Pill>On</Pill> : <Pill tone="warn">Off</Pill>),
    },
  ]
}
