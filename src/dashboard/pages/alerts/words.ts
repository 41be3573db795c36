/** Scopes, channels and states of alerts as people read them. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import {
  type AlertChannel,
  type AlertScope,
  alertChannelsQuery,
  alertRulesQuery,
  type ChannelKind,
  type DeliveryState,
} from "../../api/alerts.ts"
import { organizationsQuery, projectsQuery } from "../../api/directory.ts"
import { type Session, useSession } from "../../api/session.ts"
import type { Tone } from "../../ui/pill.tsx"
import { useView } from "../../view/use-view.ts"
import { useSubjectName } from "../budgets/names.ts"
import { listed } from "../budgets/words.ts"
import { RECIPIENTS } from "./recipients.ts"

export const CHANNEL_KINDS: Readonly<Record<string, string>> = {
  email: "E-mail",
  slack: "Slack",
  discord: "Discord",
  teams: "Microsoft Teams",
  webhook: "Webhook",
}

export function channelKindName(kind: ChannelKind): string {
  return CHANNEL_KINDS[kind] ?? kind
}

/** Where its messages go: recipients of mail, else the host. */
export function channelTarget({ kind, recipients, host }: AlertChannel): string {
  return kind === "email" ? recipients.map((one) => RECIPIENTS[one] ?? one).join(", ") : host
}

export const STATES: Readonly<Record<DeliveryState, { readonly name: string; readonly tone: Tone }>> = {
  waiting: { name: "Waiting", tone: "warn" },
  delivered: { name: "Delivered", tone: "plain" },
  failed: { name: "Failed", tone: "bad" },
}

/** Whether a role reaches the whole installation. */
export function isOverAll({ roles }: Pick<Session, "roles">): boolean {
  return roles.some(({ scope }) => Object.keys(scope).length === 0)
}

/** `The installation`, `Organization Northwind Labs`, `Project search`. */
export function useScopeWords(): (scope: AlertScope) => string {
  const nameOf = useSubjectName(undefined)
  return ({ organization_id: organization, project_id: project }) => {
    if (project !== undefined) return `Project ${nameOf(project)}`
    return organization === undefined ? "The installation" : `Organization ${nameOf(organization)}`
  }
}

/** What a rule is over, as its sentence says it. */
export function useScopePhrase(): (scope: AlertScope) => string {
  const nameOf = useSubjectName(undefined)
  return ({ organization_id: organization, project_id: project }) => {
    if (project !== undefined) return `of the project ${nameOf(project)}`
    return organization === undefined ? "of any organization" : `of the organization ${nameOf(organization)}`
  }
}

/** Who is told, with its verb: `ops and on-call are`. */
export function useWhoWords(): (ids: readonly string[] | null, scope: AlertScope) => string {
  const channels = useQuery(alertChannelsQuery).data
  return (ids, { organization_id: organization }) => {
    if (ids === null) {
      return organization === undefined
        ? "all channels of the organization concerned, or the installation's where it has none, are"
        : "all channels of the organization, or the installation's where it has none, are"
    }
    if (ids.length === 0) return "nobody is"
    const names = ids.map((id) => channels?.find((channel) => channel.id === id)?.name ?? id)
    return `${listed(names)} ${names.length === 1 ? "is" : "are"}`
  }
}

/** The organization that a scope lies in; null of the installation, or of a project that is not known here. */
export function useOrganizationOf(): (scope: AlertScope) => string | null {
  const projects = useQuery(projectsQuery(undefined)).data
  return ({ organization_id: organization, project_id: project }) =>
    organization ?? projects?.find(({ id }) => id === project)?.organization_id ?? null
}

/** Names of rules and channels by their ids. */
export function useAlertNames(): { rule: (id: string) => string; channel: (id: string) => string } {
  const rules = useQuery(alertRulesQuery).data
  const channels = useQuery(alertChannelsQuery).data
  return useMemo(
    () => ({
      rule: (id) => rules?.find((rule) => rule.id === id)?.name ?? "A deleted rule",
      channel: (id) => channels?.find((channel) => channel.id === id)?.name ?? "A deleted channel",
    }),
    [rules, channels],
  )
}

/** In whose days instants are shown: the organization's that is chosen, or the only one's. */
export function useZone(): string {
  const { view } = useView()
  const organizations = useQuery(organizationsQuery).data
  const session = useSession()
  const chosen = view.organization ?? session.organization_id
  const organization = organizations?.find(({ id }) => id === chosen) ?? organizations?.[0]
  return view.timeZone ?? organization?.time_zone ?? "UTC"
}
