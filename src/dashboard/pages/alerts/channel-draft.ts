/** What the form of a channel holds while it is typed, and what the API is told of it. Pure. */
import type { AlertChannel, NewAlertChannel } from "../../api/alerts.ts"
import { RECIPIENTS } from "./recipients.ts"

export type ChannelDraft = {
  readonly name: string
  readonly kind: string
  readonly scope: AlertChannel["scope"]
  /** Of mail, as they are typed. */
  readonly addresses: string
  /** Recipients that are no addresses. */
  readonly others: readonly string[]
  readonly url: string
}
export type ChannelFaults = Readonly<Partial<Record<"name" | "scope" | "recipients" | "url" | "form", string>>>

export function channelDraft(channel: AlertChannel | null, scope: AlertChannel["scope"]): ChannelDraft {
  const recipients = channel?.recipients ?? []
  return {
    name: channel?.name ?? "",
    kind: channel?.kind ?? "email",
    scope: channel?.scope ?? scope,
    addresses: recipients.filter((one) => !(one in RECIPIENTS)).join(", "),
    others: recipients.filter((one) => one in RECIPIENTS),
    url: "",
  }
}

export function readChannel(
  { name, kind, scope, addresses, others, url }: ChannelDraft,
  isNew: boolean,
): { readonly wanted: NewAlertChannel } | { readonly faults: ChannelFaults } {
  if (name.trim() === "") return { faults: { name: "Give the channel a name, such as on-call" } }
  const own = { scope, kind, name: name.trim() }
  if (kind === "email") {
    const recipients = [...addresses.split(/[,;\s]+/).filter((one) => one !== ""), ...others]
    const wrong = recipients.find((one) => !(one in RECIPIENTS) && !/^[^@\s]+@[^@\s]+$/.test(one))
    if (wrong !== undefined) return { faults: { recipients: `${wrong} is no mail address` } }
    if (recipients.length === 0) return { faults: { recipients: "Write an address, or choose who else gets it" } }
    return { wanted: { ...own, recipients } }
  }
  if (url.trim() === "" && !isNew) return { wanted: own }
  if (!URL.canParse(url.trim())) return { faults: { url: "Write the whole address, from https:// on" } }
  return { wanted: { ...own, url: url.trim() } }
}
