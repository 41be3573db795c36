/** One digest: when, to whom, what it says now, and the acts on it. */
import { useQuery } from "@tanstack/react-query"
import {
  DIGEST_PERIODS,
  type Digest,
  digestPreviewQuery,
  useChangeDigest,
  useDeleteDigest,
  useSendDigest,
} from "../../api/alerts.ts"
import { dayAndTime, zoneName } from "../../format/moment.ts"
import { Button, ButtonLink } from "../../ui/button.tsx"
import { Failure, Skeleton } from "../../ui/card.tsx"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { DigestForm } from "./digest-form.tsx"
import { Next } from "./digests.tsx"
import { MessageFigure } from "./message-preview.tsx"
import { SwitchedSheet } from "./switched-sheet.tsx"
import { useAlertNames, useScopeWords } from "./words.ts"

export function DigestSheet({ digest, onClose }: { digest: Digest | undefined; onClose: () => void }) {
  return (
    <SwitchedSheet
      noun="digest"
      thing={digest}
      missing="It was deleted, or is about another organization."
      subtitle={({ period }) => DIGEST_PERIODS[period]}
      off="Off: it is not sent"
      change={useChangeDigest()}
      useRemove={useDeleteDigest}
      effect="It is not sent any more. What was sent stays in the log of deliveries."
      form={(shown, leave) => <DigestForm digest={shown} onClose={leave} />}
      detail={(shown, mayAct) => <DigestDetail digest={shown} maySend={mayAct} />}
      onClose={onClose}
    />
  )
}

function DigestDetail({ digest, maySend }: { digest: Digest; maySend: boolean }) {
  const scopeWords = useScopeWords()
  const names = useAlertNames()
  const { href } = useView()
  const { channel_ids: ids, last, time_zone: zone } = digest
  const preview = useQuery(digestPreviewQuery(digest.id))
  return (
    <div className="flex flex-col gap-6">
      <Facts>
        <Fact name="About">{scopeWords(digest.scope)}</Fact>
        <Fact name="To">{ids === null ? "All channels" : ids.map(names.channel).join(", ") || "Nobody"}</Fact>
        <Fact name="Next">
          <Next digest={digest} />
        </Fact>
        <Fact name="Last">
          {last === null
            ? "Not sent yet"
            : `${last.period}, sent ${dayAndTime(last.sent_at, zone)} ${zoneName(zone, last.sent_at)}`}
        </Fact>
        <Fact name="Schedule">
          <code className="font-mono text-meta">{digest.schedule}</code>
          <span className="text-ink2">, days of {zone}</span>
        </Fact>
      </Facts>
      <div className="flex flex-wrap items-start gap-2">
        {maySend && <SendNow digest={digest} />}
        <ButtonLink href={href("/alerts/deliveries")}>See deliveries</ButtonLink>
      </div>
      <section>
        <h3 className="mb-2 text-body font-semibold">
          The message{" "}
          <span className="font-normal text-ink3">as plain text{preview.data && `, ${preview.data.period}`}</span>
        </h3>
        {preview.isError ? (
          <Failure error={preview.error} what="The preview" retry={() => void preview.refetch()} />
        ) : preview.data === undefined ? (
          <Skeleton lines={8} />
        ) : (
          <MessageFigure kind="E-mail" subject={preview.data.subject} text={preview.data.text} />
        )}
      </section>
    </div>
  )
}

/** Queues it now, and says here to how many. */
function SendNow({ digest }: { digest: Digest }) {
  const send = useSendDigest()
  const sent = send.data
  return (
    <>
      <Button onClick={() => send.mutate(digest.id)} disabled={send.isPending}>
        Send now
      </Button>
      <p role="status" className="order-last w-full text-table text-ink2 empty:hidden">
        {sent !== undefined &&
          (sent.deliveries.length === 0
            ? "There is no channel that it could go to."
            : `${sent.period} is on its way to ${sent.deliveries.length === 1 ? "1 channel" : `${sent.deliveries.length} channels`}.`)}
        {send.error !== null && <span className="text-bad">{send.error.message}</span>}
      </p>
    </>
  )
}
