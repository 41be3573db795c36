/** A real Prometheus: its own tool on the shipped files, and a server that reads a running app as the shipped file says. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse, stringify } from "yaml"
import { dashboardQueries } from "../../deploy/grafana-dashboard.ts"
import { freePort } from "../../src/app/free-port.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { findPrometheusBinaries, type PrometheusBinaries } from "../support/prometheus-binaries.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"
import { alertRules } from "./alert-rules.ts"
import { DEPLOY, deployText } from "./deploy-files.ts"

type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] }
type Answer<T> = { readonly status: string; readonly error?: string; readonly data: T }
type Rule = { readonly name: string; readonly health: string; readonly lastError?: string }

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-prometheus-"))
let binaries: PrometheusBinaries

beforeAll(() => {
  binaries = findPrometheusBinaries()
  for (const name of ["prometheus.yml", "alerts.yml"]) copyFileSync(path.join(DEPLOY, name), path.join(folder, name))
  copyFileSync(path.join(import.meta.dirname, "alerts.test.yml"), path.join(folder, "alerts.test.yml"))
  writeFileSync(path.join(folder, "key"), ADMIN_KEY)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The shipped configuration with what is different here: where the key and the proxy are, and how often it looks. */
function hereConfig(target: string): string {
  const config = parse(deployText("prometheus.yml"))
  config.global = { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "250ms" }
  const [scrape] = config.scrape_configs
  scrape.authorization.credentials_file = path.join(folder, "key")
  delete scrape.dns_sd_configs
  scrape.static_configs = [{ targets: [target] }]
  return stringify(config)
}

function promtool(...parameters: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(binaries.promtool, parameters, { cwd: folder, encoding: "utf8" })
  return { status, output: stdout + stderr }
}

describe("promtool", () => {
  test("finds nothing wrong with the shipped configuration and the rules that it names", () => {
    const file = path.join(folder, "with-key.yml")
    writeFileSync(
      file,
      deployText("prometheus.yml").replace("/run/secrets/tallygate_metrics_key", path.join(folder, "key")),
    )
    expect(promtool("check", "config", file)).toMatchObject({ status: 0 })
    const { status, output } = promtool("check", "rules", "alerts.yml")
    expect([status, output]).toEqual([
      0,
      expect.stringContaining(`SUCCESS: ${alertRules(path.join(DEPLOY, "alerts.yml")).length} rules`),
    ])
  })

  test("plays the rules through: who is told of what, when, and that a healthy hour is silent", () => {
    const { status, output } = promtool("test", "rules", "alerts.test.yml")
    expect(status, output).toBe(0)
  })
})

describe("a server that reads a running app", () => {
  let upstream: FakeUpstream
  let app: TestApp
  let door: Server
  let server: ChildProcess
  let said = ""
  let url: string

  beforeAll(async () => {
    upstream = await startFakeUpstream()
    app = await startTestApp(openAiConfig(upstream.baseUrl))
    const { key } = await app.createKey()
    const response = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: '{"model":"fast","messages":[]}',
    })
    await response.text()
    door = await startDoor()
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    const file = path.join(folder, "here.yml")
    writeFileSync(file, hereConfig(`127.0.0.1:${(door.address() as AddressInfo).port}`))
    const parameters = [`--config.file=${file}`, `--storage.tsdb.path=${path.join(folder, "data")}`]
    server = spawn(binaries.prometheus, [...parameters, `--web.listen-address=127.0.0.1:${port}`], {
      stdio: ["ignore", "ignore", "pipe"],
    })
    server.stderr?.setEncoding("utf8").on("data", (line: string) => {
      said = (said + line).slice(-4_000)
    })
    const ready = async () => ((await fetch(`${url}/-/ready`).catch(() => null))?.ok ? true : undefined)
    await until(ready, 20_000).catch((cause: unknown) => {
      throw new Error(said, { cause })
    })
  })
  afterAll(async () => {
    if (server !== undefined && server.exitCode === null) {
      const exited = once(server, "exit")
      server.kill("SIGTERM")
      await exited
    }
    door?.closeAllConnections()
    door?.close()
    await app?.close()
    await upstream?.stop()
  })

  /** In front of the app's page, which is open on loopback: asks for the key, as the page does elsewhere. */
  async function startDoor(): Promise<Server> {
    const made = createServer(async (request, response) => {
      const isKnown = request.headers.authorization === `Bearer ${ADMIN_KEY}` && request.url === "/metrics"
      if (!isKnown) return void response.writeHead(401).end()
      const page = await fetch(`${app.url}/metrics`)
      response.writeHead(page.status, { "content-type": page.headers.get("content-type") ?? "" }).end(await page.text())
    })
    made.listen(0, "127.0.0.1")
    await once(made, "listening")
    return made
  }

  async function ask<T>(route: string): Promise<Answer<T>> {
    return (await (await fetch(`${url}/api/v1/${route}`)).json()) as Answer<T>
  }

  function query(expr: string): Promise<Answer<{ readonly result: readonly Sample[] }>> {
    return ask(`query?query=${encodeURIComponent(expr)}`)
  }

  test("has the app's figures, with the key that it was given", async () => {
    const [sample] = await until(async () => {
      const { result } = (await query("tallygate_requests_total")).data
      return result.length > 0 ? result : undefined
    }, 20_000)
    expect(sample?.metric).toMatchObject({ job: "tallygate", provider: "openai", model: "gpt-4o-mini", status: "200" })
    expect(sample?.value[1]).toBe("1")
  })

  test("answers everything that the dashboard asks", async () => {
    const now = (expr: string) => expr.replaceAll("$__rate_interval", "1m").replace(/\$(provider|model)/g, ".*")
    for (const expr of dashboardQueries()) {
      const { status, error } = await query(now(expr))
      expect([status, error], expr).toEqual(["success", undefined])
    }
    for (const expr of ["sum(up)", "min by (store) (tallygate_store_up)", "tallygate_journal_rows_max"]) {
      expect((await query(expr)).data.result.length, expr).toBeGreaterThan(0)
    }
  })

  test("evaluates every rule, and a healthy app sets none of them off", async () => {
    const rules = await until(async () => {
      const { groups } = (await ask<{ groups: { rules: Rule[] }[] }>("rules")).data
      const all = groups.flatMap((group) => group.rules)
      return all.length > 0 && all.every(({ health }) => health !== "unknown") ? all : undefined
    }, 20_000)
    expect(rules.map(({ name }) => name).sort()).toEqual(
      alertRules(path.join(DEPLOY, "alerts.yml"))
        .map(({ alert }) => alert)
        .sort(),
    )
    expect(rules.filter(({ health }) => health !== "ok")).toEqual([])
    expect((await query('ALERTS{alertstate="firing"}')).data.result).toEqual([])
  })
})
