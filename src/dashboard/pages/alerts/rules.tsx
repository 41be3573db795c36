/** The rules: what is watched, over whom, and who is told. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { type AlertRule, alertChannelsQuery, alertRulesQuery } from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { type Column, DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { RuleForm } from "./rule-form.tsx"
import { kindName } from "./rule-kinds.ts"
import { RuleSheet } from "./rule-sheet.tsx"
import { useAlertNames, useScopeWords } from "./words.ts"

export function RulesTab({ id }: { id: string | null }) {
  const session = useSession()
  const { href, view } = useView()
  const [, go] = useLocation()
  const rules = useQuery(alertRulesQuery)
  const channels = useQuery(alertChannelsQuery)
  const scopeWords = useScopeWords()
  const names = useAlertNames()
  const columns = useMemo(() => ruleColumns(scopeWords, names.channel), [scopeWords, names])
  const mayMake = mayChange(session, "alerts")
  const close = () => go(href("/alerts"))
  const shown = (rules.data ?? []).filter(
    ({ scope: { organization_id: of } }) => view.organization === null || of === undefined || of === view.organization,
  )
  const chosen = shown.find((rule) => rule.id === id)
  return (
    <>
      <Card
        title="Rules"
        unit={rules.data === undefined ? undefined : String(shown.length)}
        isBusy={rules.isFetching && !rules.isPending}
        actions={
          mayMake && (
            <ButtonLink look="primary" href={href("/alerts/rules/new")}>
              Create rule
            </ButtonLink>
          )
        }
      >
        {channels.data?.length === 0 && <NobodyIsTold mayMake={mayMake} />}
        {rules.isPending ? (
          <Skeleton lines={4} />
        ) : rules.isError ? (
          <Failure error={rules.error} what="Rules" retry={() => void rules.refetch()} />
        ) : shown.length === 0 ? (
          <Empty>
            A rule says what is watched and who is told: budgets that fill up, calls that fail, models without a price.
          </Empty>
        ) : (
          <DataTable
            label="Rules"
            columns={columns}
            rows={shown}
            rowId={(rule) => rule.id}
            href={(rule) => href(`/alerts/rules/${rule.id}`)}
            isChosen={(rule) => rule.id === id}
          />
        )}
      </Card>
      {id === "new" && <RuleForm rule={null} onClose={close} />}
      {id !== null && id !== "new" && rules.data !== undefined && <RuleSheet rule={chosen} onClose={close} />}
    </>
  )
}

/** Rules without a channel raise alerts that nobody gets. */
function NobodyIsTold({ mayMake }: { mayMake: boolean }) {
  const { href } = useView()
  return (
    <div className="mb-3 flex flex-wrap items-center gap-x-3 gap-y-2 rounded-control bg-warnsoft px-3 py-2 text-table">
      <span className="mr-auto">
        <b className="font-semibold text-warn">Nobody is told.</b> There is no channel yet, so alerts stand in the
        history alone.
      </span>
      {mayMake && <ButtonLink href={href("/alerts/channels/new")}>Add channel</ButtonLink>}
    </div>
  )
}

function ruleColumns(
  scopeWords: (scope: AlertRule["scope"]) => string,
  channelName: (id: string) => string,
): readonly Column<AlertRule>[] {
  return [
    {
      id: "name",
      head: "Rule",
      cell: (rule) => (
        <span className="block">
          <span className="font-medium">{rule.name}</span>
          <span className="block text-meta text-ink3 md:hidden">{kindName(rule.kind)}</span>
        </span>
      ),
    },
    { id: "kind", head: "Watches", cell: ({ kind }) => kindName(kind), from: "md" },
    { id: "scope", head: "Over", cell: ({ scope }) => scopeWords(scope), from: "sm", className: "text-ink2" },
    {
      id: "channels",
      head: "Tells",
      cell: ({ channel_ids: ids }) => (ids === null ? "All channels" : ids.map(channelName).join(", ") || "Nobody"),
      from: "lg",
      className: "text-ink2",
    },
    {
      id: "state",
      head: "State",
      cell: ({ disabled_at: disabledAt }) => (disabledAt === null ? <Pill>On</Pill> : <Pill tone="warn">Off</Pill>),
    },
  ]
}
