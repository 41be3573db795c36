/** The stage of the browser's tests: Tallygate with the demonstration's story behind it, and a Chromium in front. */
import { execFile } from "node:child_process"
import path from "node:path"
import { promisify } from "node:util"
import type { Browser } from "playwright-core"
import { openPostgres } from "../../src/platform/postgres.ts"
import { type AlertPlaces, makeAlerts, openAlertPlaces } from "../demo/alerts.ts"
import { bringHistory } from "../demo/history.ts"
import { type AskAdmin, type MadeKey, makePeople } from "../demo/people.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"
import { openBrowser } from "./browser.ts"
import type { ShownIds } from "./pages.ts"

export type Stage = {
  readonly app: TestApp
  readonly browser: Browser
  readonly keys: readonly MadeKey[]
  /** Where alerts go. */
  readonly places: AlertPlaces
  /** A key of the story by its name. */
  readonly key: (name: string) => MadeKey
  /** Raises what the story's budgets give reason for, and resolves when its mail and its chat have been told. */
  readonly tellAlerts: () => Promise<void>
  /** What the pages with an address of their own are about. */
  readonly shownIds: () => Promise<ShownIds>
  readonly close: () => Promise<void>
}

const TOLD_MS = 30_000
type Listed = { readonly id: string; readonly kind?: string }

const BUILD = path.join(import.meta.dirname, "../../src/dashboard/build.ts")

async function buildIfStale(): Promise<void> {
  await promisify(execFile)(process.execPath, [BUILD, "--if-stale"])
}

/** `calls` is about how many the last two months had. */
export async function openStage(calls: number): Promise<Stage> {
  const places = await openAlertPlaces()
  const [, app] = await Promise.all([buildIfStale(), startTestApp(`sandbox: true\n${places.yaml}`)])
  const browser = await openBrowser()
  const ask: AskAdmin = (method, route, body) => app.admin(method, route, body)
  const keys = await makePeople(ask)
  await makeAlerts(ask, places, keys)
  const sql = openPostgres(app.databaseUrl, { max: 2, applicationName: "tallygate-stage" })
  await bringHistory(sql, { keys, nowMs: Date.now(), calls })
  await sql.end({ timeout: 5 })
  return {
    app,
    browser,
    keys,
    places,
    key: (name) => {
      const found = keys.find(({ story }) => story.name === name)
      if (found === undefined) throw new Error(`The story has no key ${name}.`)
      return found
    },
    tellAlerts: async () => {
      const { status } = await app.admin("POST", "/admin/v1/budgets/check")
      if (status !== 200) throw new Error(`budgets/check answered ${status}`)
      const isTold = () =>
        places.mail.received.length > 0 && places.hooks.received.some(({ path: to }) => to !== "/pager")
      await until(async () => (isTold() ? true : undefined), TOLD_MS)
    },
    shownIds: async () => {
      const one = async (route: string) =>
        (await app.admin("GET", `/admin/v1/${route}`)).body.data as unknown as Listed[]
      const [record] = await one("usage/records?model=claude-opus-5&outcome=ok&limit=1")
      const project = keys.find(({ story }) => story.name === "checkout-prod")?.projectId ?? ""
      const limit = (await one(`limits?project_id=${project}`)).find(({ kind }) => kind === "usd")
      const [channel] = (await one("alert-channels")).filter(({ kind }) => kind === "email")
      return { recordId: record?.id ?? "", limitId: limit?.id ?? "", channelId: channel?.id ?? "" }
    },
    close: async () => {
      await browser.close()
      await app.close()
      await places.close()
    },
  }
}
