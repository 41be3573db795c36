/** Digests: what was spent, sent by itself once for each day, week or month. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { DIGEST_PERIODS, type Digest, digestsQuery } from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { dayAndTime, zoneName } from "../../format/moment.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Missing, Pill } from "../../ui/pill.tsx"
import { type Column, DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { DigestForm } from "./digest-form.tsx"
import { DigestSheet } from "./digest-sheet.tsx"
import { useAlertNames, useScopeWords } from "./words.ts"

export function DigestsTab({ id }: { id: string | null }) {
  const session = useSession()
  const { href, view } = useView()
  const [, go] = useLocation()
  const digests = useQuery(digestsQuery)
  const scopeWords = useScopeWords()
  const names = useAlertNames()
  const columns = useMemo(() => digestColumns(scopeWords, names.channel), [scopeWords, names])
  const mayMake = mayChange(session, "alerts")
  const close = () => go(href("/alerts/digests"))
  const shown = (digests.data ?? []).filter(
    ({ scope: { organization_id: of } }) => view.organization === null || of === undefined || of === view.organization,
  )
  const make = (words: string) =>
    mayMake && (
      <ButtonLink look="primary" href={href("/alerts/digests/new")}>
        {words}
      </ButtonLink>
    )
  return (
    <>
      <Card
        title="Digests"
        unit={digests.data === undefined ? undefined : String(shown.length)}
        isBusy={digests.isFetching && !digests.isPending}
        actions={shown.length > 0 && make("Create digest")}
      >
        {digests.isPending ? (
          <Skeleton lines={3} />
        ) : digests.isError ? (
          <Failure error={digests.error} what="Digests" retry={() => void digests.refetch()} />
        ) : shown.length === 0 ? (
          <Empty action={make("Create the first digest")}>
            A digest says what was spent, by whom and on what, with the whole table as CSV: every day, week or month, to
            the channels that you choose.
          </Empty>
        ) : (
          <DataTable
            label="Digests"
            columns={columns}
            rows={shown}
            rowId={(digest) => digest.id}
            href={(digest) => href(`/alerts/digests/${digest.id}`)}
            isChosen={(digest) => digest.id === id}
          />
        )}
      </Card>
      {id === "new" && <DigestForm digest={null} onClose={close} />}
      {id !== null && id !== "new" && digests.data !== undefined && (
        <DigestSheet digest={shown.find((digest) => digest.id === id)} onClose={close} />
      )}
    </>
  )
}

function digestColumns(
  scopeWords: (scope: Digest["scope"]) => string,
  channelName: (id: string) => string,
): readonly Column<Digest>[] {
  return [
    {
      id: "name",
      head: "Digest",
      cell: (digest) => (
        <span className="block">
          <span className="font-medium">{digest.name}</span>
          <span className="block text-meta text-ink3 sm:hidden">{DIGEST_PERIODS[digest.period]}</span>
        </span>
      ),
    },
    { id: "period", head: "Sent", cell: ({ period }) => DIGEST_PERIODS[period], from: "sm" },
    { id: "scope", head: "About", cell: ({ scope }) => scopeWords(scope), from: "md", className: "text-ink2" },
    {
      id: "channels",
      head: "To",
      cell: ({ channel_ids: ids }) => (ids === null ? "All channels" : ids.map(channelName).join(", ") || "Nobody"),
      from: "lg",
      className: "text-ink2",
    },
    {
      id: "last",
      head: "Last",
      cell: ({ last }) => (last === null ? <Missing why="Not sent yet" /> : last.period),
      from: "md",
      className: "text-ink2",
    },
    { id: "next", head: "Next", cell: (digest) => <Next digest={digest} /> },
  ]
}

export function Next({ digest: { next_at: at, time_zone: zone } }: { digest: Digest }) {
  if (at === null) return <Pill tone="warn">Off</Pill>
  return (
    <time dateTime={at} className="text-ink2">
      {dayAndTime(at, zone)} {zoneName(zone, at)}
    </time>
  )
}
