/** The stage of the browser's tests: Tallygate with the demonstration's story behind it, and a Chromium in front. */
import { execFile } from "node:child_process"
import path from "node:path"
import { promisify } from "node:util"
import type { Browser } from "playwright-core"
import { openPostgres } from "../../src/platform/postgres.ts"
import { bringHistory } from "../demo/history.ts"
import { type MadeKey, makePeople } from "../demo/people.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"
import { openBrowser } from "./browser.ts"

export type Stage = {
  readonly app: TestApp
  readonly browser: Browser
  readonly keys: readonly MadeKey[]
  /** A key of the story by its name. */
  readonly key: (name: string) => MadeKey
  readonly close: () => Promise<void>
}

const BUILD = path.join(import.meta.dirname, "../../src/dashboard/build.ts")

async function buildIfStale(): Promise<void> {
  await promisify(execFile)(process.execPath, [BUILD, "--if-stale"])
}

/** `calls` is about how many the last two months had. */
export async function openStage(calls: number): Promise<Stage> {
  const [, app] = await Promise.all([buildIfStale(), startTestApp("sandbox: true\n")])
  const browser = await openBrowser()
  const keys = await makePeople((method, route, body) => app.admin(method, route, body))
  const sql = openPostgres(app.databaseUrl, { max: 2, applicationName: "tallygate-stage" })
  await bringHistory(sql, { keys, nowMs: Date.now(), calls })
  await sql.end({ timeout: 5 })
  return {
    app,
    browser,
    keys,
    key: (name) => {
      const found = keys.find(({ story }) => story.name === name)
      if (found === undefined) throw new Error(`The story has no key ${name}.`)
      return found
    },
    close: async () => {
      await browser.close()
      await app.close()
    },
  }
}
