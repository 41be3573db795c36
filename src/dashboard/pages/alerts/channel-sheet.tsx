/** One channel: where it goes, a test with its result, a message as it would arrive, and the acts on it. */
import { useState } from "react"
import {
  type AlertChannel,
  type AlertDelivery,
  useChangeChannel,
  useDeleteChannel,
  useTestChannel,
} from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { fullDay } from "../../format/moment.ts"
import { Button, ButtonLink } from "../../ui/button.tsx"
import { Empty } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { Question, Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { ChannelForm } from "./channel-form.tsx"
import { MessagePreview } from "./message-preview.tsx"
import { channelKindName, channelTarget, useScopeWords, useZone } from "./words.ts"

export function ChannelSheet({ channel, onClose }: { channel: AlertChannel | undefined; onClose: () => void }) {
  const session = useSession()
  const toast = useToast()
  const change = useChangeChannel()
  const [act, setAct] = useState<"change" | "delete" | null>(null)
  if (channel === undefined) {
    return (
      <Sheet title="No such channel" onClose={onClose}>
        <Empty>It was deleted, or lies in another organization.</Empty>
      </Sheet>
    )
  }
  if (act === "change") return <ChannelForm channel={channel} onClose={() => setAct(null)} />
  const isOff = channel.disabled_at !== null
  const toggle = () =>
    change.mutate(
      { id: channel.id, wanted: { disabled: !isOff } },
      { onSuccess: () => toast(isOff ? "Channel switched on" : "Channel switched off") },
    )
  return (
    <>
      <Sheet
        title={channel.name}
        subtitle={isOff ? <Pill tone="warn">Off: no new message goes to it</Pill> : channelKindName(channel.kind)}
        onClose={onClose}
        isWide
        foot={
          mayChange(session, "alerts") && (
            <>
              <Button look="danger" className="mr-auto" onClick={() => setAct("delete")}>
                Delete
              </Button>
              <Button onClick={toggle} disabled={change.isPending}>
                {isOff ? "Switch on" : "Switch off"}
              </Button>
              <Button onClick={() => setAct("change")}>Edit</Button>
            </>
          )
        }
      >
        <ChannelDetail channel={channel} mayTest={mayChange(session, "alerts")} />
        {change.error !== null && (
          <p role="alert" className="mt-3 text-table text-bad">
            {change.error.message}
          </p>
        )}
      </Sheet>
      {act === "delete" && <DeleteChannel channel={channel} onClose={() => setAct(null)} onDone={onClose} />}
    </>
  )
}

function ChannelDetail({ channel, mayTest }: { channel: AlertChannel; mayTest: boolean }) {
  const scopeWords = useScopeWords()
  const zone = useZone()
  const { href } = useView()
  return (
    <div className="flex flex-col gap-6">
      <Facts>
        <Fact name="Goes to">{channelTarget(channel)}</Fact>
        <Fact name="Of">{scopeWords(channel.scope)}</Fact>
        <Fact name="Created">{fullDay(channel.created_at, zone)}</Fact>
        <Fact name="Id">
          <code className="font-mono text-meta">{channel.id}</code>
        </Fact>
      </Facts>
      <section>
        <h3 className="mb-2 text-body font-semibold">Try it</h3>
        <div className="flex flex-wrap items-start gap-2">
          {mayTest && <Test channel={channel} />}
          <ButtonLink href={href("/alerts/deliveries", { channel: channel.id })}>See its deliveries</ButtonLink>
        </div>
      </section>
      <section>
        <h3 className="mb-2 text-body font-semibold">
          A message <span className="font-normal text-ink3">as the test sends it</span>
        </h3>
        <MessagePreview channel={channel} />
      </section>
    </div>
  )
}

/** Sends the test message, and says here what became of it. */
function Test({ channel }: { channel: AlertChannel }) {
  const test = useTestChannel()
  return (
    <>
      <Button onClick={() => test.mutate(channel.id)} disabled={test.isPending}>
        {test.isPending ? "Sending test …" : "Send test"}
      </Button>
      <p role="status" className="order-last w-full text-table empty:hidden">
        {test.data !== undefined && <TestResult delivery={test.data} />}
        {test.error !== null && <span className="text-bad">{test.error.message}</span>}
      </p>
    </>
  )
}

function TestResult({ delivery: { state, last_error: fault } }: { delivery: AlertDelivery }) {
  if (state === "delivered") {
    return (
      <>
        <Pill>Delivered</Pill> <span className="text-ink2">The receiver accepted the test message.</span>
      </>
    )
  }
  return (
    <>
      <Pill tone="bad">Failed</Pill> <span className="text-ink2">{fault || "It was not accepted"}.</span>
    </>
  )
}

function DeleteChannel({
  channel,
  onClose,
  onDone,
}: {
  channel: AlertChannel
  onClose: () => void
  onDone: () => void
}) {
  const remove = useDeleteChannel()
  const toast = useToast()
  const act = () =>
    remove.mutate(channel.id, {
      onSuccess: () => {
        toast("Channel deleted")
        onDone()
      },
    })
  return (
    <Question
      title={`Delete ${channel.name}?`}
      onClose={onClose}
      actions={
        <Button look="danger" onClick={act} disabled={remove.isPending}>
          Delete channel
        </Button>
      }
    >
      <p>No message goes to it any more; those that still wait fail. What was delivered stays in the log.</p>
      {remove.error !== null && (
        <p role="alert" className="mt-3 text-bad">
          {remove.error.message}
        </p>
      )}
    </Question>
  )
}
