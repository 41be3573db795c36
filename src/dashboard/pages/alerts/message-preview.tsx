/** What a message looks like in a channel: the text of a mail, or what is posted. Its figures are those of a test. */
import { useQuery } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { type AlertChannel, type AlertScope, alertChannelsQuery, previewQuery } from "../../api/alerts.ts"
import { Failure, Skeleton } from "../../ui/card.tsx"
import { ScrollingText } from "../../ui/copy.tsx"
import { INPUT } from "../../ui/field.tsx"
import { channelKindName, useOrganizationOf } from "./words.ts"

/** A message as the first of the rule's channels gets it, with the choice of another one. */
export function MessageOf({ channelIds, scope }: { channelIds: readonly string[] | null; scope: AlertScope }) {
  const channels = useQuery(alertChannelsQuery).data
  const organization = useOrganizationOf()(scope)
  const [chosen, setChosen] = useState<string | null>(null)
  const reached = (channels ?? []).filter(({ id, scope: of, disabled_at: disabledAt }) => {
    if (channelIds !== null) return channelIds.includes(id)
    const isNear = of.organization_id === undefined || organization === null
    return disabledAt === null && (isNear || of.organization_id === organization)
  })
  const channel = reached.find(({ id }) => id === chosen) ?? reached[0]
  if (channel === undefined) return null
  return (
    <section>
      <div className="mb-2 flex flex-wrap items-center gap-x-3 gap-y-2">
        <h3 className="mr-auto text-body font-semibold">
          A message <span className="font-normal text-ink3">with the figures of a test</span>
        </h3>
        {reached.length > 1 && (
          <select
            aria-label="Channel of the preview"
            className={`${INPUT} max-w-48`}
            value={channel.id}
            onChange={(event) => setChosen(event.target.value)}
          >
            {reached.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        )}
      </div>
      <MessagePreview channel={channel} />
    </section>
  )
}

export function MessagePreview({ channel }: { channel: Pick<AlertChannel, "id" | "kind" | "name"> }) {
  const { data, error, refetch } = useQuery(previewQuery(channel.id))
  if (error !== null) return <Failure error={error} what="The preview" retry={() => void refetch()} />
  if (data === undefined) return <Skeleton lines={5} />
  const kind = channelKindName(channel.kind)
  if (data.text !== null) return <MessageFigure kind={kind} subject={data.subject} text={data.text} />
  return (
    <MessageFigure kind={kind} subject={null} text={null}>
      <ScrollingText label={`What is posted to ${channel.name}`}>{JSON.stringify(data.body, null, 2)}</ScrollingText>
    </MessageFigure>
  )
}

/** A message in its frame: its subject, and its text or what stands in place of one. */
export function MessageFigure({
  kind,
  subject,
  text,
  children,
}: {
  kind: string
  subject: string | null
  text: string | null
  children?: ReactNode
}) {
  return (
    <figure className="overflow-clip rounded-control border border-line bg-sunken">
      <figcaption className="border-b border-line px-3 py-2 text-meta text-ink2">
        {kind}
        {subject !== null && <span className="mt-0.5 block text-table font-medium text-ink">{subject}</span>}
      </figcaption>
      {text !== null && <p className="px-3 py-2.5 text-table whitespace-pre-line">{text}</p>}
      {children}
    </figure>
  )
}
