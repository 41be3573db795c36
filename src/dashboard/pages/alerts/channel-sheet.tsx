/** One channel: where it goes, a test with its result, a message as it would arrive, and the acts on it. */
import {
  type AlertChannel,
  type AlertDelivery,
  useChangeChannel,
  useDeleteChannel,
  useTestChannel,
} from "../../api/alerts.ts"
import { fullDay } from "../../format/moment.ts"
import { Button, ButtonLink } from "../../ui/button.tsx"
import { Pill } from "../../ui/pill.tsx"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { ChannelForm } from "./channel-form.tsx"
import { MessagePreview } from "./message-preview.tsx"
import { SwitchedSheet } from "./switched-sheet.tsx"
import { channelKindName, channelTarget, useScopeWords, useZone } from "./words.ts"

export function ChannelSheet({ channel, onClose }: { channel: AlertChannel | undefined; onClose: () => void }) {
  return (
    <SwitchedSheet
      noun="channel"
      thing={channel}
      missing="It was deleted, or lies in another organization."
      subtitle={({ kind }) => channelKindName(kind)}
      off="Off: no new message goes to it"
      change={useChangeChannel()}
      useRemove={useDeleteChannel}
      effect="No message goes to it any more; those that still wait fail. What was delivered stays in the log."
      form={(shown, leave) => <ChannelForm channel={shown} onClose={leave} />}
      detail={(shown, mayAct) => <ChannelDetail channel={shown} mayTest={mayAct} />}
      onClose={onClose}
    />
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
