/** What messages say, and that names which users have chosen are text and nothing else in every channel. */
import { expect, test } from "vitest"
import { windowAt } from "../../src/admission/window.ts"
import { type AlertMessage, sampleMessage } from "../../src/alerts/alert-message.ts"
import { discordBody, slackBody, teamsBody, webhookBody } from "../../src/alerts/chat-bodies.ts"
import { limitFacts, projected, type UsedLimit } from "../../src/alerts/limit-facts.ts"
import { mailText } from "../../src/alerts/mail-text.ts"

const HOSTILE = `<!channel> @everyone <img src=x> [x](http://x) **b** & "q"\r\nBcc: x@example.com`
const hostile: AlertMessage = {
  ...sampleMessage({ id: "org_a", name: HOSTILE }, "https://tallygate.example/", 0),
  title: HOSTILE,
  facts: [{ name: HOSTILE, value: HOSTILE }],
  contributors: [{ name: HOSTILE, value: "$1" }],
  folded: [HOSTILE],
}

test("a mail has one subject line, and no markup of a user's", () => {
  const { subject, html, text } = mailText(hostile)
  expect(subject).not.toMatch(/[\r\n]/)
  expect(html).not.toMatch(/<img|<!channel/)
  expect(html).toContain("&lt;img src=x&gt;")
  expect(html).toContain('href="https://tallygate.example/dashboard/usage"')
  expect(text).toContain(HOSTILE)
})

test("chats call nobody and read no markup", () => {
  const slack = JSON.parse(slackBody(hostile))
  expect(slack.text).not.toContain("<!channel>")
  expect(slack.blocks.flatMap((block: { text?: { type: string } }) => block.text?.type ?? [])).toEqual([
    "plain_text",
    "plain_text",
  ])
  const discord = JSON.parse(discordBody(hostile))
  expect(discord.allowed_mentions).toEqual({ parse: [] })
  for (const text of [discord.embeds[0].title, discord.embeds[0].description]) {
    expect(text).not.toMatch(/(?<!\\)[<@[*]/)
  }
  expect(teamsBody(hostile)).not.toContain('"TextBlock"')
})

test("what is too long for a chat is cut, since it would be refused", () => {
  const long: AlertMessage = {
    ...hostile,
    title: "t".repeat(9_000),
    facts: Array(500).fill({ name: "n", value: "v".repeat(50) }),
  }
  const { blocks } = JSON.parse(slackBody(long))
  expect(blocks[0].text.text).toHaveLength(150)
  expect(blocks[1].text.text).toHaveLength(3_000)
  const [embed] = JSON.parse(discordBody(long)).embeds
  expect([embed.title.length, embed.description.length]).toEqual([256, 4_096])
})

test("a webhook's event has its type, its time, the message and the exact figures", () => {
  expect(JSON.parse(webhookBody(hostile))).toEqual({
    type: "alert.threshold",
    timestamp: "1970-01-01T00:00:00.000Z",
    data: {
      organization: { id: "org_a", name: HOSTILE },
      title: HOSTILE,
      facts: [{ name: HOSTILE, value: HOSTILE }],
      contributors: [{ name: HOSTILE, value: "$1" }],
      folded: [HOSTILE],
      advice: hostile.advice,
      link: "https://tallygate.example/dashboard/usage",
      threshold_percent: 80,
      test: "true",
    },
  })
})

const NOON = Date.UTC(2026, 10, 16)
const used: UsedLimit = {
  limitId: "lim_a",
  scope: "project",
  subject: "proj_a",
  subjectName: "search",
  narrowedBy: {},
  kind: "usd",
  enforcement: "hard",
  window: "month",
  span: windowAt("month", "UTC", 1, NOON),
  settled: 400_500_000_000n,
  cap: 500_000_000_000n,
}

test("a limit's message says what was spent of what, how far that goes, and where to look", () => {
  const { title, facts, advice, path } = limitFacts(used, { threshold: 80, isForecast: false }, [], null, NOON)
  expect(title).toBe("Project search has used 80 % of its limit of $500 a month")
  expect(facts.map(({ name, value }) => `${name}: ${value}`)).toEqual([
    "Spent: $400.50",
    "Cap: $500",
    "Used in percent: 80 %",
    "Threshold: 80 %",
    "Window: month 2026-11, until 2026-12-01T00:00:00.000Z",
    "Projected at the window's end: $801",
  ])
  expect(advice).toContain("before calls are refused")
  expect(path).toBe(
    "/dashboard/usage?from=2026-11-01T00%3A00%3A00.000Z&until=2026-12-01T00%3A00%3A00.000Z&project=proj_a&by=key",
  )
  const full = limitFacts({ ...used, settled: 600_000_000_000n }, { threshold: 100, isForecast: false }, [], null, NOON)
  expect(full.title).toBe("Project search has used up its limit of $500 a month")
  expect(full.advice).toBe(
    "Calls that would go over the limit are refused until it is raised or the window ends at 2026-12-01T00:00:00.000Z.",
  )
})

test("a limit that is forecast says how far it goes, within what, and when its cap is reached, to the cent", () => {
  const projection = { projected: 545_454_545_454n, low: 520_000_000_000n, high: 571_239_999_999n }
  const reachedAtMs = Date.UTC(2026, 10, 27, 9, 30)
  const forecast = { state: "warning", daysSeen: 40, projection, reachedAtMs } as const
  const reason = { threshold: 100, isForecast: true }
  const { title, facts, data } = limitFacts(used, reason, [], forecast, NOON)
  expect(title).toBe("Project search is on its way to 109 % of its limit of $500 a month")
  expect(facts.slice(-2)).toEqual([
    { name: "Projected at the window's end", value: "$545.45, most likely between $520 and $571.24" },
    { name: "Cap reached at this pace", value: "2026-11-27T09:30:00.000Z" },
  ])
  expect(data).toMatchObject({ on: "forecast", projected: "545454545454", projected_high: "571239999999" })
  const tokens = limitFacts({ ...used, kind: "tokens" }, reason, [], forecast, NOON)
  expect(tokens.facts.at(-2)?.value).toMatch(/^545,454,545,454 tokens, most likely between /)
})

test("the view of a limit that counts one user, tool or tag apart is cut to it", () => {
  const narrowedBy = { user: "user_a", tool: "crawler" }
  const { path } = limitFacts({ ...used, narrowedBy }, { threshold: 80, isForecast: false }, [], null, NOON)
  expect(path).toContain("&project=proj_a&user=user_a&tool=crawler&by=key")
})

test.each(["soft", "shadow"] as const)("of a %s limit nobody is told that calls are refused", (enforcement) => {
  const { advice } = limitFacts(
    { ...used, settled: used.cap, enforcement },
    { threshold: 100, isForecast: false },
    [],
    null,
    NOON,
  )
  expect(advice).toContain(`Calls go on: the limit is ${enforcement}.`)
})

test("a cap of nothing, a lifetime and a window that has hardly begun have no percent, no end and no projection", () => {
  const of = (more: Partial<UsedLimit>, nowMs = NOON) =>
    limitFacts({ ...used, ...more }, { threshold: 100, isForecast: false }, [], null, nowMs)
  expect(of({ cap: 0n }).facts).toContainEqual({ name: "Used in percent", value: "the cap is nothing" })
  const lifetime = of({ window: "lifetime", span: windowAt("lifetime", "UTC", 1, NOON), kind: "tokens" })
  expect(lifetime.path).toBe("/dashboard/usage?range=all&project=proj_a&by=key&measure=tokens")
  expect(lifetime.data.projected).toBeNull()
  const startsAtMs = used.span.startsAtMs ?? 0
  expect(projected(used, startsAtMs + 3_600_000)).toBeNull()
  expect(projected(used, startsAtMs)).toBeNull()
  expect(projected(used, used.span.endsAtMs ?? 0)).toBe(used.settled)
})
