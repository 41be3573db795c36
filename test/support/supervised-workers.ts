/**
 * A program for tests of the supervisor: started as it is it supervises, and its workers are a small server each that
 * says who it is, counts, and misbehaves when asked. Supervisor, channel and command are the real ones.
 */
import cluster from "node:cluster"
import { existsSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import { setTimeout as wait } from "node:timers/promises"
import { Counter, Gauge, Histogram, Registry } from "prom-client"
import { ConfigReload } from "../../src/app/reload.ts"
import { type Start, serveLinked, type WorkerLink } from "../../src/app/worker-link.ts"
import { askedToEnd } from "../../src/cli/signals.ts"
import { superviseWorkers } from "../../src/cli/supervise-workers.ts"
import { configPath, formatProblem, loadConfig } from "../../src/config/load.ts"

/** While this file exists no worker can start. */
const OBSTACLE = process.env.TEST_OBSTACLE ?? ""

/** A configuration with this value is taken by the first worker and by no other. */
const HARD_TO_TAKE = 11_111

async function supervise(): Promise<number> {
  const place = { env: process.env, cwd: process.env.TALLYGATE_DATA ?? "" }
  const loaded = loadConfig(place)
  if (loaded.kind === "invalid") throw new Error(loaded.problems.map(formatProblem).join("\n"))
  const reload = new ConfigReload({ file: configPath(place), load: () => loadConfig(place), running: loaded.config })
  process.on("SIGHUP", () => reload.ask("SIGHUP"))
  await reload.start()
  return superviseWorkers(
    loaded.config,
    {
      reload,
      asked: askedToEnd(),
      onListening: ({ url }) => void process.stdout.write(`listens on ${url}\n`),
      onRefused: (message) => void process.stderr.write(`did not start: ${message}\n`),
    },
    { file: import.meta.filename, args: ["worker"], closeMsMax: 500 },
  )
}

async function work(link: WorkerLink, { config }: Start, end: Promise<string>): Promise<number> {
  if (existsSync(OBSTACLE)) {
    link.notStarted("an obstacle is in the way")
    return 1
  }
  let [taken, configState] = [config, ""]
  const reconfigure = async (next: Start["config"]) => {
    if (next.body_bytes_max === HARD_TO_TAKE && cluster.worker?.id === 2) throw new Error("worker 2 cannot take it")
    taken = next
  }
  const tellConfig = (state: string) => {
    configState = state
  }
  let deathsHeard = 0
  const workerDied = () => {
    deathsHeard++
  }
  const registry = new Registry()
  const figures = countedIn(registry)
  let exitCode = 0
  const routes: Record<string, (response: ServerResponse) => unknown> = {
    "/pid": (response) => response.end(String(process.pid)),
    "/count": (response) => {
      figures.count()
      response.end(String(process.pid))
    },
    "/config": (response) => response.end(`${taken.body_bytes_max} ${configState}`),
    "/deaths": (response) => response.end(String(deathsHeard)),
    "/slow": (response) => wait(800).then(() => response.end("done")),
    "/metrics": (response) => link.metricsPage().then((page) => response.end(page)),
    "/end-uncleanly": (response) => {
      exitCode = 1
      response.end()
    },
    "/never-end": (response) => {
      setInterval(() => undefined, 60_000)
      response.end()
    },
  }
  const server = createServer((request, response) => void routes[request.url ?? ""]?.(response))
  const { host, port } = config.listen
  const failure = await new Promise<string | null>((resolve) => {
    server.once("error", (error) => resolve(String(error)))
    server.listen(port, host, () => resolve(null))
  })
  if (failure !== null) {
    link.notStarted(failure)
    return 1
  }
  const addresses = { url: `http://${host}:${port}`, adminUrl: null, metricsUrl: null }
  link.listening(
    { ...addresses, version: "0", firstRun: { kind: "done before" } },
    { registry, reconfigure, tellConfig, workerDied },
    (fault) => {
      throw fault
    },
  )
  await end
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return exitCode
}

function countedIn(registry: Registry): { count(): void } {
  const registers = [registry]
  const counter = new Counter({ name: "test_calls_total", help: "h", labelNames: ["kind"], registers })
  const histogram = new Histogram({ name: "test_call_seconds", help: "h", buckets: [1], registers })
  new Gauge({ name: "test_running", help: "h", registers }).set(1)
  new Gauge({ name: "test_age_seconds", help: "h", registers }).set(7)
  return {
    count() {
      counter.inc({ kind: "plain" })
      histogram.observe(0.5)
    },
  }
}

process.exitCode = await (cluster.isWorker ? serveLinked(askedToEnd(), work) : supervise())
