/** One rule in words, and what can be done with it. */
import { useState } from "react"
import { type AlertRule, useChangeRule, useDeleteRule } from "../../api/alerts.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { fullDay } from "../../format/moment.ts"
import { Button } from "../../ui/button.tsx"
import { Empty } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { Question, Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { Fact, Facts } from "../key-sheet.tsx"
import { MessageOf } from "./message-preview.tsx"
import { RuleForm } from "./rule-form.tsx"
import { kindName, ruleSentence } from "./rule-kinds.ts"
import { useAlertNames, useScopePhrase, useScopeWords, useWhoWords, useZone } from "./words.ts"

/** The rule that there is from the start: it can be switched off, and not deleted. */
const DEFAULT_RULE_ID = "rule_default"

export function RuleSheet({ rule, onClose }: { rule: AlertRule | undefined; onClose: () => void }) {
  const session = useSession()
  const toast = useToast()
  const change = useChangeRule()
  const [act, setAct] = useState<"change" | "delete" | null>(null)
  if (rule === undefined) {
    return (
      <Sheet title="No such rule" onClose={onClose}>
        <Empty>It was deleted, or lies in another organization.</Empty>
      </Sheet>
    )
  }
  if (act === "change") return <RuleForm rule={rule} onClose={() => setAct(null)} />
  const isOff = rule.disabled_at !== null
  const toggle = () =>
    change.mutate(
      { id: rule.id, wanted: { disabled: !isOff } },
      { onSuccess: () => toast(isOff ? "Rule switched on" : "Rule switched off") },
    )
  return (
    <>
      <Sheet
        title={rule.name}
        subtitle={isOff ? <Pill tone="warn">Off: it raises nothing</Pill> : kindName(rule.kind)}
        onClose={onClose}
        isWide
        foot={
          mayChange(session, "alerts") && (
            <>
              {rule.id !== DEFAULT_RULE_ID && (
                <Button look="danger" className="mr-auto" onClick={() => setAct("delete")}>
                  Delete
                </Button>
              )}
              <Button onClick={toggle} disabled={change.isPending}>
                {isOff ? "Switch on" : "Switch off"}
              </Button>
              <Button onClick={() => setAct("change")}>Edit</Button>
            </>
          )
        }
      >
        <RuleDetail rule={rule} />
        {change.error !== null && (
          <p role="alert" className="mt-3 text-table text-bad">
            {change.error.message}
          </p>
        )}
      </Sheet>
      {act === "delete" && <DeleteRule rule={rule} onClose={() => setAct(null)} onDone={onClose} />}
    </>
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

function DeleteRule({ rule, onClose, onDone }: { rule: AlertRule; onClose: () => void; onDone: () => void }) {
  const remove = useDeleteRule()
  const toast = useToast()
  const act = () =>
    remove.mutate(rule.id, {
      onSuccess: () => {
        toast("Rule deleted")
        onDone()
      },
    })
  return (
    <Question
      title={`Delete ${rule.name}?`}
      onClose={onClose}
      actions={
        <Button look="danger" onClick={act} disabled={remove.isPending}>
          Delete rule
        </Button>
      }
    >
      <p>It raises nothing from now on. What it raised stays in the history.</p>
      {remove.error !== null && (
        <p role="alert" className="mt-3 text-bad">
          {remove.error.message}
        </p>
      )}
    </Question>
  )
}
