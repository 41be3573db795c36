/** What docs/metrics.md, the dashboard and the alert rules say of the page, held against a page of a running app. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { DASHBOARD_FILE, dashboardQueries, dashboardText } from "../../deploy/grafana-dashboard.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { startTallygate } from "../support/tallygate-process.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"
import { alertRules } from "./alert-rules.ts"
import { DEPLOY, PROJECT } from "./deploy-files.ts"

type Metric = { type: string; help: string; labels: Set<string> }
type Page = Map<string, Metric>

const SUPERVISED = [process.execPath, path.join(PROJECT, "test/support/supervised-workers.ts")]
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-metrics-"))
let upstream: FakeUpstream
let redis: ConnectedRedis
let app: TestApp
let text: string
let page: Page

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startConnectedRedis()
  app = await startTestApp(openAiConfig(upstream.baseUrl), { redisUrl: redis.url })
  const { key } = await app.createKey({ limits: [{ kind: "tokens", window: "day", cap: 1_000_000 }] })
  await call(key, { model: "fast", stream: true })
  await call(key, { model: "of-no-book", stream: false })
  await call("tg_nobody", { model: "fast" })
  text = await (await fetch(`${app.url}/metrics`)).text()
  // What a supervisor adds: its workers, and the configuration that it loads again.
  const supervised = [...pageOf(await supervisedPage())].filter(([name]) => name.startsWith("tallygate_"))
  page = new Map([...pageOf(text), ...supervised])
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function supervisedPage(): Promise<string> {
  const stores = { DATABASE_URL: "postgres://127.0.0.1/none", REDIS_URL: "redis://127.0.0.1" }
  const running = await startTallygate(SUPERVISED, { env: { TALLYGATE_DATA: folder, ...stores, WORKERS: "2" } })
  try {
    return await (await fetch(`${running.url}/metrics`)).text()
  } finally {
    running.process.kill("SIGTERM")
    await running.exited
  }
}

async function call(key: string, body: object): Promise<void> {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: "user", content: "hello" }], ...body }),
  })
  await response.text()
}

/** The metrics of a page; of a histogram's series, those of its name. */
function pageOf(exposition: string): Page {
  const found: Page = new Map()
  for (const [, name = "", help = ""] of exposition.matchAll(/^# HELP (\S+) (.*)$/gm)) {
    const type = new RegExp(`^# TYPE ${name} (\\w+)$`, "m").exec(exposition)?.[1] ?? ""
    const labels = new Set<string>()
    const samples = new RegExp(`^${name}${type === "histogram" ? "(?:_bucket|_sum|_count)" : ""}\\{(.*)\\} `, "gm")
    for (const [, pairs = ""] of exposition.matchAll(samples)) {
      for (const [, label = ""] of pairs.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) if (label !== "le") labels.add(label)
    }
    found.set(name, { type, help, labels })
  }
  return found
}

/** Metrics that an expression reads, by the names on the page: a histogram's series are its own. */
function metricsIn(expr: string): string[] {
  const names = [...expr.matchAll(/\b(?:tallygate|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => name)
  return names.map((name) => {
    const histogram = name.replace(/_(bucket|sum|count)$/, "")
    return page.get(histogram)?.type === "histogram" ? histogram : name
  })
}

/** Labels that an expression selects or groups by. */
function labelsIn(expr: string): string[] {
  const selected = [...expr.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map((match) => match[1] ?? "")
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) => (match[1] ?? "").split(/,\s*/))
  return [...selected, ...grouped]
}

type Documented = { name: string; type: string; labels: string[]; help: string }

function documented(): Documented[] {
  const markdown = readFileSync(path.join(PROJECT, "docs/metrics.md"), "utf8")
  return [...markdown.matchAll(/^\| `(\w+)` \| (\w+) \|(.*?)\| (.*) \|$/gm)].map((match) => {
    const [, name = "", type = "", labels = "", help = ""] = match
    return { name, type, labels: [...labels.matchAll(/`(\w+)`/g)].map((label) => label[1] ?? ""), help }
  })
}

describe("docs/metrics.md", () => {
  test("has each metric of the page once, in its words, and none that is not there", () => {
    const ours = [...page].filter(([name]) => name.startsWith("tallygate_"))
    const shown = ours.map(([name, { type, help, labels }]) => ({ name, type, labels: [...labels].sort(), help }))
    const told = documented().map((entry) => ({ ...entry, labels: entry.labels.sort() }))
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name)
    // Metrics of TLS listeners have series only where there are such listeners.
    const named = (entry: Documented) =>
      entry.name.startsWith("tallygate_tls_") ? { ...entry, labels: ["listener"] } : entry
    expect(told.sort(byName)).toEqual(shown.map(named).sort(byName))
  })
})

describe("the page", () => {
  test("keeps to the field's names: a prefix, base units, _total for what only grows", () => {
    for (const [name, { type, help }] of page) {
      expect(name).toMatch(/^(tallygate|process|nodejs)_[a-z0-9_]+$/)
      if (!name.startsWith("tallygate_")) continue
      expect(name.endsWith("_total"), name).toBe(type === "counter")
      expect(name, name).not.toMatch(/_(ms|milliseconds|minutes|kb|mb|percent)(_|$)/)
      if (type === "histogram") expect(name).toMatch(/_seconds$/)
      expect(help, name).toMatch(/^[A-Z0-9].*\.$|; the value is always 1\.$/)
    }
  })

  test("labels nothing by key or user, and shows no secret", async () => {
    for (const [name, { labels }] of page) {
      expect(
        [...labels].filter((label) => /key|user|project|customer/.test(label)),
        name,
      ).toEqual([])
    }
    expect(text).not.toMatch(/"(key|user|proj)_[0-9A-Za-z]{12}"|tg_|tga_|sk-upstream-canary/)
  })
})

describe("the dashboard and the alert rules", () => {
  test("the committed dashboard is what its program makes (npm run grafana)", () => {
    expect(readFileSync(DASHBOARD_FILE, "utf8") === dashboardText(), "run npm run grafana, and commit its file").toBe(
      true,
    )
  })

  test("read metrics and labels that are on the page", () => {
    const known = new Set(["job", "instance", "le", ...[...page.values()].flatMap(({ labels }) => [...labels])])
    const exprs = [...dashboardQueries(), ...alertRules(path.join(DEPLOY, "alerts.yml")).map(({ expr }) => expr)]
    expect(exprs.length).toBeGreaterThan(50)
    for (const expr of exprs) {
      const metrics = metricsIn(expr)
      expect(metrics.length > 0 || expr.includes("up{"), expr).toBe(true)
      for (const name of metrics) expect([...page.keys()], expr).toContain(name)
      for (const label of labelsIn(expr)) expect([...known], expr).toContain(label)
    }
  })

  test("look at every metric of ours", () => {
    const read = new Set(
      [...dashboardQueries(), ...alertRules(path.join(DEPLOY, "alerts.yml")).map(({ expr }) => expr)].flatMap(
        metricsIn,
      ),
    )
    const unread = [...page.keys()].filter((name) => name.startsWith("tallygate_") && !read.has(name))
    expect(unread).toEqual([])
  })

  test("each alert says what it is about and what to do", () => {
    for (const { alert, labels, annotations } of alertRules(path.join(DEPLOY, "alerts.yml"))) {
      expect(alert).toMatch(/^Tallygate[A-Z]\w+$/)
      expect(["critical", "warning"], alert).toContain(labels.severity)
      expect(annotations.summary, alert).toMatch(/\.$/)
      expect(annotations.description.length, alert).toBeGreaterThan(40)
    }
  })
})
