/** Rules of alerts in words, and what the forms of rules and channels mean. */
import { expect, test } from "vitest"
import { PARAMETERS, RULE_KINDS as SERVER_KINDS } from "../../src/alerts/alert-rule.ts"
import { channelDraft, readChannel } from "../../src/dashboard/pages/alerts/channel-draft.ts"
import { readRule, ruleDraft } from "../../src/dashboard/pages/alerts/rule-draft.ts"
import { parametersOtherwise, RULE_KINDS, ruleSentence } from "../../src/dashboard/pages/alerts/rule-kinds.ts"

const rule = (kind: string, parameters = {}) => ({ name: "r", kind, scope: {}, parameters, channel_ids: null })

test("every kind that the server has is offered, and its form begins with the server's defaults", () => {
  expect(Object.keys(RULE_KINDS).sort()).toEqual([...SERVER_KINDS].sort())
  for (const kind of SERVER_KINDS) expect(parametersOtherwise(kind), kind).toEqual(PARAMETERS[kind].parse({}))
})

test("a form that nobody touched is a rule that the server takes, of each kind", () => {
  for (const kind of SERVER_KINDS) {
    const read = readRule(ruleDraft(rule(kind)))
    expect(PARAMETERS[kind].safeParse("wanted" in read ? read.wanted.parameters : null).success, kind).toBe(true)
  }
})

test("a rule says when, who and how often", () => {
  const said = ruleSentence(
    rule("threshold", { limit_kinds: ["usd"], thresholds: [80, 100], forecast_thresholds: [] }),
    "of the project search",
    "ops and on-call are",
  )
  expect(said).toBe(
    "When a limit of dollars of the project search is used up to 80 % or 100 %, ops and on-call are told. Once for each threshold and window; a higher one is told at once, the rest at most once a day.",
  )
  expect(
    ruleSentence(rule("error_rate", { percent: 5, minutes: 60, calls_min: 20 }), "of any organization", "ops is"),
  ).toBe(
    "When 5 % or more of the calls of any organization failed in the last 60 minutes, and there were at least 20 calls, ops is told. Once a day.",
  )
  expect(ruleSentence(rule("made_later"), "", "ops is")).toBe("A rule of the kind made later: ops is told.")
})

test("what is wrong with a rule is told beside its field", () => {
  const draft = ruleDraft(rule("error_rate"))
  const read = readRule({ ...draft, name: " ", channelIds: [], numbers: { ...draft.numbers, percent: "101" } })
  expect(Object.keys("faults" in read ? read.faults : {}).sort()).toEqual(["channels", "name", "percent"])
})

test("a channel of mail has addresses and roles, every other kind an address", () => {
  const draft = { ...channelDraft(null, {}), name: "ops" }
  expect(
    readChannel({ ...draft, addresses: "a@b.example; c@d.example", others: ["role:billing"] }, true),
  ).toMatchObject({
    wanted: { recipients: ["a@b.example", "c@d.example", "role:billing"] },
  })
  expect(readChannel({ ...draft, addresses: "nobody" }, true)).toHaveProperty("faults.recipients")
  expect(readChannel({ ...draft, kind: "slack", url: "hooks.example" }, true)).toHaveProperty("faults.url")
  const kept = readChannel({ ...draft, kind: "slack" }, false)
  expect(kept).not.toHaveProperty("wanted.url")
})
