/** `tallygate serve` with more than one worker: this process supervises, the workers serve. */
import path from "node:path"
import { freePort } from "../app/free-port.ts"
import type { ConfigReload } from "../app/reload.ts"
import { Supervisor } from "../app/supervisor.ts"
import type { Listening } from "../app/worker-messages.ts"
import type { Config } from "../config/load.ts"
import { openLog } from "../platform/log.ts"

export type WorkerProgram = {
  readonly file: string
  readonly args: readonly string[]
  /** What ending may take after the grace. */
  readonly closeMsMax: number
}

const TALLYGATE: WorkerProgram = {
  file: path.join(path.dirname(import.meta.dirname), "main.ts"),
  args: ["worker"],
  // The ledger takes what is left, and every part ends.
  closeMsMax: 30_000,
}

export type SupervisorWatch = {
  readonly asked: Promise<string>
  readonly onListening: (told: Listening) => void
  readonly onRefused: (message: string) => void
  readonly reload?: ConfigReload
}

/** Resolves with the exit code when all workers have ended. */
export async function superviseWorkers(
  config: Config,
  watch: SupervisorWatch,
  program: WorkerProgram = TALLYGATE,
): Promise<number> {
  const log = openLog(config.log.level)
  const supervisor = new Supervisor({
    config,
    ports: await portsFor(config),
    program,
    log,
    closeMsMax: program.closeMsMax,
  })
  const asked = watch.asked.then((reason) => ({ kind: "asked" as const, reason }))
  const started = await Promise.race([supervisor.start(), asked])
  if (started.kind === "listening") {
    watch.onListening(started)
    watch.reload?.follow(supervisor)
  }
  const end =
    started.kind === "listening"
      ? await Promise.race([asked, supervisor.failed.then((message) => ({ kind: "failed" as const, message }))])
      : started
  if (end.kind === "failed") watch.onRefused(end.message)
  else log.info({ reason: end.reason }, "stopping the workers")
  await watch.reload?.stop()
  const isClean = await supervisor.stop(end.kind === "failed" ? "another worker cannot start" : end.reason)
  return end.kind === "asked" && isClean ? 0 : 1
}

/** The listeners with a port for each: all workers have to come to the same ones. */
async function portsFor({ listen, listeners }: Config): Promise<Pick<Config, "listen" | "listeners">> {
  const { admin, metrics } = listeners
  return {
    listen: await withPort(listen),
    listeners: {
      ...(admin === undefined ? {} : { admin: await withPort(admin) }),
      ...(metrics === undefined ? {} : { metrics: await withPort(metrics) }),
    },
  }
}

async function withPort<Listener extends Config["listen"]>(listener: Listener): Promise<Listener> {
  return listener.port === 0 ? { ...listener, port: await freePort(listener.host) } : listener
}
