/** Alert rules, what they raised, the channels that are told and what became of each message, as the admin API has them. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query"
import { change, get } from "./client.ts"
import { all, type Page, useChange } from "./lists.ts"

/** `{}` is the installation. */
export type AlertScope = { readonly organization_id?: string; readonly project_id?: string }
export type Named = { readonly name: string; readonly value: string }

export type AlertRule = {
  readonly id: string
  readonly scope: AlertScope
  readonly kind: string
  readonly name: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Null: all channels of the organization concerned, or the installation's where it has none. */
  readonly channel_ids: readonly string[] | null
  readonly disabled_at: string | null
  readonly created_at: string
}
export type NewAlertRule = Pick<AlertRule, "scope" | "kind" | "name" | "parameters" | "channel_ids">
export type AlertRuleChange = Partial<Pick<AlertRule, "name" | "parameters" | "channel_ids">> & {
  readonly disabled?: boolean
}

export type DeliveryState = "waiting" | "delivered" | "failed"
export type Alert = {
  readonly id: string
  readonly organization_id: string
  readonly rule_id: string
  readonly limit_id: string | null
  readonly subject: string
  readonly window: string
  /** 0 of a rule without thresholds. */
  readonly threshold_percent: number
  /** Whether the threshold will be reached by the window's end, and was not yet. */
  readonly forecast: boolean
  readonly title: string
  readonly facts: readonly Named[]
  readonly contributors: readonly Named[]
  readonly advice: string
  /** The view that shows it, such as `/dashboard/usage?…`; '' where there is none. */
  readonly path: string
  readonly deliveries: readonly { readonly id: string; readonly channel_id: string; readonly state: DeliveryState }[]
  readonly state: "told" | "folded"
  readonly raised_at: string
  readonly told_at: string | null
}
export type AlertDelivery = {
  readonly id: string
  readonly organization_id: string
  /** Null of a digest and of a test. */
  readonly rule_id: string | null
  readonly digest_id: string | null
  readonly channel_id: string
  readonly title: string
  readonly state: DeliveryState
  readonly attempts: number
  readonly next_attempt_at: string | null
  readonly last_error: string
  readonly created_at: string
  readonly delivered_at: string | null
}

export type ChannelKind = "email" | "slack" | "discord" | "teams" | "webhook" | (string & {})
export type AlertChannel = {
  readonly id: string
  readonly scope: Pick<AlertScope, "organization_id">
  readonly kind: ChannelKind
  readonly name: string
  /** Addresses, `role:…` for everyone who has it, and `user` for the one whom an alert is about. */
  readonly recipients: readonly string[]
  /** Of its address; '' of mail. */
  readonly host: string
  readonly disabled_at: string | null
  readonly created_at: string
}
export type NewAlertChannel = {
  readonly scope: AlertChannel["scope"]
  readonly kind: ChannelKind
  readonly name: string
  readonly recipients?: readonly string[]
  readonly url?: string
}
export type AlertChannelChange = {
  readonly name?: string
  readonly recipients?: readonly string[]
  readonly url?: string
  readonly disabled?: boolean
}
/** With the secret that was made for it, which is shown this once; null where none was. */
export type CreatedChannel = AlertChannel & { readonly signing_secret: string | null }
export type MessagePreview = {
  readonly subject: string | null
  readonly text: string | null
  /** What is posted; null of mail. */
  readonly body: unknown
}

const PAGE = 50

export const alertRulesQuery = queryOptions({
  queryKey: ["alert rules"],
  queryFn: ({ signal }) => all<AlertRule>("/admin/v1/alert-rules", {}, signal),
})
export const alertChannelsQuery = queryOptions({
  queryKey: ["alert channels"],
  queryFn: ({ signal }) => all<AlertChannel>("/admin/v1/alert-channels", {}, signal),
})
export function alertsQuery(after: string | null) {
  return queryOptions({
    queryKey: ["alerts", after],
    queryFn: ({ signal }) => get<Page<Alert>>("/admin/v1/alerts", { limit: PAGE, after }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  })
}
export function deliveriesQuery(filter: { channel: string | null; state: string | null; after: string | null }) {
  const { channel, state, after } = filter
  return queryOptions({
    queryKey: ["alert deliveries", filter],
    queryFn: ({ signal }) =>
      get<Page<AlertDelivery>>(
        "/admin/v1/alert-deliveries",
        { limit: PAGE, channel_id: channel, state, after },
        signal,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: 10_000,
  })
}
export function previewQuery(channelId: string) {
  return queryOptions({
    queryKey: ["alert preview", channelId],
    queryFn: ({ signal }) => get<MessagePreview>(`/admin/v1/alert-channels/${channelId}/preview`, {}, signal),
  })
}

export function useCreateRule() {
  return useChange((wanted: NewAlertRule) => change<AlertRule>("POST", "/admin/v1/alert-rules", wanted), "alert rules")
}
export function useChangeRule() {
  return useChange(
    ({ id, wanted }: { id: string; wanted: AlertRuleChange }) =>
      change<AlertRule>("PATCH", `/admin/v1/alert-rules/${id}`, wanted),
    "alert rules",
  )
}
export function useDeleteRule() {
  return useChange((id: string) => change<AlertRule>("DELETE", `/admin/v1/alert-rules/${id}`), "alert rules")
}
const CHANNEL_LISTS = ["alert channels", "alert preview"] as const
export function useCreateChannel() {
  return useChange(
    (wanted: NewAlertChannel) => change<CreatedChannel>("POST", "/admin/v1/alert-channels", wanted),
    ...CHANNEL_LISTS,
  )
}
export function useChangeChannel() {
  return useChange(
    ({ id, wanted }: { id: string; wanted: AlertChannelChange }) =>
      change<AlertChannel>("PATCH", `/admin/v1/alert-channels/${id}`, wanted),
    ...CHANNEL_LISTS,
  )
}
export function useDeleteChannel() {
  return useChange(
    (id: string) => change<AlertChannel>("DELETE", `/admin/v1/alert-channels/${id}`),
    ...CHANNEL_LISTS,
    "alert deliveries",
  )
}
/** Sends a test message now, once; the answer is what became of it. */
export function useTestChannel() {
  return useChange(
    (id: string) => change<AlertDelivery>("POST", `/admin/v1/alert-channels/${id}/test`),
    "alert deliveries",
  )
}
export function useRedeliver() {
  return useChange(
    (id: string) => change<AlertDelivery>("POST", `/admin/v1/alert-deliveries/${id}/redeliver`),
    "alert deliveries",
  )
}

export const DIGEST_PERIODS = { daily: "Every day", weekly: "Every week", monthly: "Every month" } as const
export type DigestPeriod = keyof typeof DIGEST_PERIODS
/** A report that is sent once for each day, week or month, about the one before. */
export type Digest = {
  readonly id: string
  readonly scope: AlertChannel["scope"]
  readonly name: string
  readonly period: DigestPeriod
  /** Cron, five fields. */
  readonly schedule: string
  readonly time_zone: string
  readonly channel_ids: readonly string[] | null
  readonly disabled_at: string | null
  readonly created_at: string
  readonly next_at: string | null
  readonly last: { readonly period: string; readonly sent_at: string } | null
}
/** What is left out of a schedule and a zone is the server's default. */
export type NewDigest = Pick<Digest, "scope" | "name" | "period" | "channel_ids"> & {
  readonly schedule?: string
  readonly time_zone?: string
}
export type DigestChange = Partial<Omit<NewDigest, "scope">> & { readonly disabled?: boolean }
export type DigestPreview = {
  readonly period: string
  readonly subject: string
  readonly text: string
  readonly csv: string
}

export const digestsQuery = queryOptions({
  queryKey: ["digests"],
  queryFn: ({ signal }) => all<Digest>("/admin/v1/digests", {}, signal),
})
export function digestPreviewQuery(id: string) {
  return queryOptions({
    queryKey: ["digest preview", id],
    queryFn: ({ signal }) => get<DigestPreview>(`/admin/v1/digests/${id}/preview`, {}, signal),
  })
}
const DIGEST_LISTS = ["digests", "digest preview"] as const
export function useCreateDigest() {
  return useChange((wanted: NewDigest) => change<Digest>("POST", "/admin/v1/digests", wanted), ...DIGEST_LISTS)
}
export function useChangeDigest() {
  return useChange(
    ({ id, wanted }: { id: string; wanted: DigestChange }) =>
      change<Digest>("PATCH", `/admin/v1/digests/${id}`, wanted),
    ...DIGEST_LISTS,
  )
}
export function useDeleteDigest() {
  return useChange((id: string) => change<Digest>("DELETE", `/admin/v1/digests/${id}`), ...DIGEST_LISTS)
}
/** Queues the digest of the last whole period now, whatever the schedule has sent. */
export function useSendDigest() {
  return useChange(
    (id: string) =>
      change<{ readonly period: string; readonly deliveries: readonly string[] }>(
        "POST",
        `/admin/v1/digests/${id}/send`,
      ),
    "alert deliveries",
  )
}
