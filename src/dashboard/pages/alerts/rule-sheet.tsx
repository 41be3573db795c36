/** One rule in words, and what can be done with it. */
import { type AlertRule, useChangeRule, useDeleteRule } from "../../api/alerts.ts"
import { fullDay } from "../../format/moment.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { MessageOf } from "./message-preview.tsx"
import { RuleForm } from "./rule-form.tsx"
import { kindName, ruleSentence } from "./rule-kinds.ts"
import { SwitchedSheet } from "./switched-sheet.tsx"
import { useAlertNames, useScopePhrase, useScopeWords, useWhoWords, useZone } from "./words.ts"

/** The rule that there is from the start: it can be switched off, and not deleted. */
const DEFAULT_RULE_ID = "rule_default"

export function RuleSheet({ rule, onClose }: { rule: AlertRule | undefined; onClose: () => void }) {
  return (
    <SwitchedSheet
      noun="rule"
      thing={rule}
      missing="It was deleted, or lies in another organization."
      subtitle={({ kind }) => kindName(kind)}
      off="Off: it raises nothing"
      change={useChangeRule()}
      useRemove={useDeleteRule}
      effect="It raises nothing from now on. What it raised stays in the history."
      isFixed={({ id }) => id === DEFAULT_RULE_ID}
      form={(shown, leave) => <RuleForm rule={shown} onClose={leave} />}
      detail={(shown) => <RuleDetail rule={shown} />}
      onClose={onClose}
    />
  )
}

function RuleDetail({ rule }: { rule: AlertRule }) {
  const scopeWords = useScopeWords()
  const phrase = useScopePhrase()
  const who = useWhoWords()
  const names = useAlertNames()
  const zone = useZone()
  const { scope, channel_ids: ids } = rule
  return (
    <div className="flex flex-col gap-6">
      <p className="rounded-control bg-sunken px-3 py-2.5 text-table">
        {ruleSentence(rule, phrase(scope), who(ids, scope))}
      </p>
      <Facts>
        <Fact name="Watches">{kindName(rule.kind)}</Fact>
        <Fact name="Over">{scopeWords(scope)}</Fact>
        <Fact name="Tells">{ids === null ? "All channels" : ids.map(names.channel).join(", ") || "Nobody"}</Fact>
        <Fact name="Created">{fullDay(rule.created_at, zone)}</Fact>
        <Fact name="Id">
          <code className="font-mono text-meta">{rule.id}</code>
        </Fact>
      </Facts>
      <MessageOf channelIds={ids} scope={scope} />
    </div>
  )
}
