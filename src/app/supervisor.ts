/**
 * Runs several workers on one port and repairs their deaths. All accept from one listening socket, which Node's cluster
 * module binds here and every worker inherits: connections that wait in its queue outlive a worker, which with a socket
 * each (SO_REUSEPORT) they do not, and an idle worker takes the next one. No call and no byte passes through here.
 *
 * The first worker starts alone: it migrates, makes the first keys, and meets an operator's mistake once. What it cannot
 * start for ends the whole; a worker that listened before is started again, however it ended.
 */
import cluster, { type Worker } from "node:cluster"
import { Counter, type Registry } from "prom-client"
import type { Config } from "../config/schema.ts"
import type { Log } from "../platform/log.ts"
import { hasDiedYoung, restartDelayMs } from "./restart-delay.ts"
import type { Listening, ToSupervisor, ToWorker } from "./worker-messages.ts"
import { WorkersConfig } from "./workers-config.ts"
import { WorkersMetrics } from "./workers-metrics.ts"

export type SupervisorOptions = {
  readonly config: Config
  /** The configuration's listeners with no port 0 among them: all workers must come to the same ones. */
  readonly ports: Pick<Config, "listen" | "listeners">
  /** What a worker runs: a file, and its arguments. */
  readonly program: { readonly file: string; readonly args: readonly string[] }
  readonly log: Log
  /** After this long beyond the grace of calls a stop kills the workers that are left. */
  readonly closeMsMax: number
}

export type Started =
  | ({ readonly kind: "listening" } & Listening)
  | { readonly kind: "failed"; readonly message: string }

type Slot = {
  readonly number: number
  state: "new" | "starting" | "listening" | "waiting" | "ended"
  worker: Worker | null
  hasListened: boolean
  refusal: string | null
  diedYoung: number
  startedMs: number
  timer: NodeJS.Timeout | undefined
}

const STATES = ["starting", "listening", "waiting"] as const

export class Supervisor {
  /** Resolves with the reason where the workers cannot go on; they are still to be stopped. */
  readonly failed: Promise<string>
  readonly log: Log
  readonly #options: SupervisorOptions
  readonly #slots: readonly Slot[]
  readonly #metrics = new WorkersMetrics(() => this.#countStates())
  readonly #config: WorkersConfig
  readonly #deaths: Counter
  readonly #first = Promise.withResolvers<Listening>()
  readonly #failure = Promise.withResolvers<string>()
  readonly #allEnded = Promise.withResolvers<void>()
  #isStopping = false
  #isClean = true

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.log = options.log
    this.#config = new WorkersConfig(options.config, options.ports, options.log)
    this.failed = this.#failure.promise
    this.#slots = Array.from({ length: options.config.workers }, (_, index) => newSlot(index + 1))
    this.#deaths = new Counter({
      name: "tallygate_worker_deaths_total",
      help: "Workers that ended without having been asked to.",
      registers: [this.#metrics.registry],
    })
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: options.program.file,
      args: [...options.program.args],
      serialization: "advanced",
    })
  }

  /** Starts the first worker, and once it listens the others; resolves when the first listens or cannot. */
  start(): Promise<Started> {
    const [first, ...others] = this.#slots
    if (first !== undefined) this.#fork(first)
    const listening = this.#first.promise.then((told): Started => {
      if (!this.#isStopping) for (const slot of others) this.#fork(slot)
      return { kind: "listening", ...told }
    })
    return Promise.race([listening, this.failed.then((message): Started => ({ kind: "failed", message }))])
  }

  /** Where what is counted for all workers is registered. */
  get registry(): Registry {
    return this.#metrics.registry
  }

  /** Gives every worker another configuration. @throws StartError where one cannot take it; none has it then */
  async reconfigure(config: Config): Promise<void> {
    await this.#config.change(config)
    this.log.level = config.log.level
  }

  /** What every worker says of the configuration on `/readyz`. */
  tellConfig(state: string): void {
    this.#config.tell(state)
  }

  /** Lets every worker drain and end. True where all of them ended cleanly. */
  async stop(reason: string): Promise<boolean> {
    this.#isStopping = true
    for (const slot of this.#slots) {
      clearTimeout(slot.timer)
      if (slot.worker === null) slot.state = "ended"
      else this.#send(slot.worker, { kind: "stop", reason })
    }
    const stopMs = this.#config.current.timeouts.shutdown_grace_ms + this.#options.closeMsMax
    const timer = setTimeout(() => {
      this.log.error({ stop_ms: stopMs }, "workers did not end in time and are killed")
      for (const { worker } of this.#slots) worker?.process.kill("SIGKILL")
    }, stopMs)
    this.#checkEnd()
    await this.#allEnded.promise
    clearTimeout(timer)
    return this.#isClean
  }

  #fork(slot: Slot): void {
    slot.state = "starting"
    slot.startedMs = performance.now()
    slot.refusal = null
    const worker = cluster.fork()
    slot.worker = worker
    worker.on("message", (message: ToSupervisor) => this.#hear(slot, worker, message))
    // "exit" may come while messages are still unread, "disconnect" not.
    const [exited, closed] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()]
    worker.once("exit", (code, signal) => exited.resolve(signal ?? `code ${code}`))
    worker.once("disconnect", () => closed.resolve())
    worker.on("error", (error) => {
      this.log.error({ err: error, worker: slot.number }, "the channel to a worker failed")
      // Never started: neither event will come.
      if (worker.process.pid === undefined) this.#ended(slot, worker, "not started by the system")
    })
    void Promise.all([exited.promise, closed.promise]).then(([end]) => this.#ended(slot, worker, end))
  }

  #hear(slot: Slot, worker: Worker, message: ToSupervisor): void {
    if (message.kind === "ready") this.#welcome(slot, worker)
    else if (message.kind === "figures") this.#metrics.told(worker.id, message.figures, message.id)
    else if (message.kind === "last figures") this.#metrics.told(worker.id, message.figures, null)
    else if (message.kind === "reconfigured") this.#config.told(worker.id, message.id, message.failure)
    else if (message.kind === "page wanted") this.#sendPage(worker, message.id)
    else if (message.kind === "not started") slot.refusal = message.message
    else this.#hearListening(slot, worker, message)
  }

  #welcome(slot: Slot, worker: Worker): void {
    if (this.#isStopping) this.#send(worker, { kind: "stop", reason: "stopping already" })
    else this.#send(worker, { kind: "start", worker: slot.number, config: this.#config.startWith(worker.id) })
  }

  #hearListening(slot: Slot, worker: Worker, message: Listening): void {
    slot.state = "listening"
    slot.hasListened = true
    const send = (question: ToWorker) => this.#send(worker, question)
    this.#metrics.joined(worker.id, send)
    this.#config.joined(worker.id, send)
    const { url, adminUrl, metricsUrl, version, firstRun } = message
    this.#first.resolve({ url, adminUrl, metricsUrl, version, firstRun })
    this.log.info({ worker: slot.number, pid: worker.process.pid }, "worker listens")
  }

  #sendPage(worker: Worker, id: number): void {
    this.#metrics.page().then(
      (text) => this.#send(worker, { kind: "page", id, text }),
      (error) => {
        this.log.error({ err: error }, "the metrics of the workers could not be put together")
        this.#send(worker, { kind: "no page", id })
      },
    )
  }

  #ended(slot: Slot, worker: Worker, end: string): void {
    this.#metrics.left(worker.id)
    this.#config.left(worker.id)
    slot.worker = null
    if (this.#isStopping) this.#endedInStop(slot, end)
    else if (!slot.hasListened && (slot.refusal !== null || slot.number === 1)) {
      slot.state = "ended"
      this.#failure.resolve(slot.refusal ?? `its first worker ended with ${end} before it listened.`)
    } else this.#repair(slot, end)
  }

  #repair(slot: Slot, end: string): void {
    const told = { worker: slot.number, end, ...(slot.refusal === null ? {} : { reason: slot.refusal }) }
    slot.diedYoung = hasDiedYoung(performance.now() - slot.startedMs) ? slot.diedYoung : 0
    const delayMs = restartDelayMs(slot.diedYoung++)
    this.#deaths.inc()
    this.log.error({ ...told, restart_ms: delayMs }, "a worker ended; it is started again")
    // The next start would take its journal over too, but calls wait for what is in it.
    for (const { worker } of this.#slots) if (worker !== null) this.#send(worker, { kind: "worker died" })
    slot.state = "waiting"
    slot.timer = setTimeout(() => this.#fork(slot), delayMs)
  }

  #endedInStop(slot: Slot, end: string): void {
    slot.state = "ended"
    if (end !== "code 0") {
      this.#isClean = false
      this.log.warn({ worker: slot.number, end }, "a worker did not end cleanly")
    }
    this.#checkEnd()
  }

  #checkEnd(): void {
    if (this.#slots.every(({ worker }) => worker === null)) this.#allEnded.resolve()
  }

  #send(worker: Worker, message: ToWorker): void {
    worker.send(message, (error) => {
      // A worker that is ending hears nothing more; its end is told by its events.
      if (error !== null) this.log.debug({ err: error, kind: message.kind }, "a worker did not hear")
    })
  }

  #countStates(): ReadonlyMap<string, number> {
    return new Map(STATES.map((state) => [state, this.#slots.filter((slot) => slot.state === state).length]))
  }
}

function newSlot(number: number): Slot {
  return {
    number,
    state: "new",
    worker: null,
    hasListened: false,
    refusal: null,
    diedYoung: 0,
    startedMs: 0,
    timer: undefined,
  }
}
