/**
 * `npm run demo`: Tallygate on embedded stores in a folder of its own, filled with two months of an invented company's
 * usage, with live calls on the sandbox; the dashboard has something to show at once. The folder goes when it ends.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { parseArgs } from "node:util"
import { pino } from "pino"
import { startApp } from "../../src/app.ts"
import { formatProblem, loadConfig } from "../../src/config/load.ts"
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { version } from "../../src/platform/version.ts"
import { makeAlerts, openAlertPlaces } from "./alerts.ts"
import { bringHistory } from "./history.ts"
import { type AskAdmin, makePeople } from "./people.ts"
import { startTraffic } from "./traffic.ts"

const ADMIN_KEY = "demo-admin-key-for-this-machine-alone"

const { values } = parseArgs({
  options: { port: { type: "string", default: "8787" }, calls: { type: "string", default: "9000" } },
})
const tell = (line: string) => void process.stdout.write(`${line}\n`)
const folder = await mkdtemp(path.join(tmpdir(), "tallygate-demo-"))
const log = pino({ level: "error" })
tell("Starting Tallygate on embedded stores …")
const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, "postgres"), log })
const places = await openAlertPlaces()
const configFile = path.join(folder, "proxy.config.yaml")
await writeFile(configFile, places.yaml)
const env = {
  HOST: "127.0.0.1",
  PORT: values.port,
  TALLYGATE_DATA: folder,
  DATABASE_URL: postgres.url,
  TALLYGATE_ADMIN_KEY: ADMIN_KEY,
}
const loaded = loadConfig({ path: configFile, env, cwd: folder })
if (loaded.kind === "invalid") throw new Error(loaded.problems.map(formatProblem).join("\n"))
const app = await startApp({ config: loaded.config, version: version(), log })
const ask: AskAdmin = async (method, route, body) => {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" }
  const response = await fetch(app.url + route, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}
tell("Making an invented company's projects, people and keys …")
const keys = await makePeople(ask)
await makeAlerts(ask, places, keys)
tell(`Bringing in two months of its calls …`)
const sql = openPostgres(postgres.url, { max: 2, applicationName: "tallygate-demo" })
const calls = await bringHistory(sql, { keys, nowMs: Date.now(), calls: Number(values.calls) })
await sql.end({ timeout: 5 })
const stopTraffic = startTraffic(app.url, keys, (error) => log.warn({ err: error }, "a live call failed"))
tell(`
${calls} calls are in, and live ones go on. Log in at

  ${app.url}/dashboard

  Admin key     ${ADMIN_KEY}
  Virtual key   ${keys[0]?.key} (sees its own usage alone)

Ctrl-C ends it and removes what it made.`)

await new Promise<void>((resolve) => {
  process.once("SIGINT", () => resolve())
  process.once("SIGTERM", () => resolve())
})
stopTraffic()
await app.close()
await places.close()
await postgres.stop()
await rm(folder, { recursive: true, force: true })
