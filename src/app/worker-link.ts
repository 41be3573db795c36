/**
 * A worker's end of the channel to its supervisor. The channel closes when the supervisor goes, however it goes; the
 * worker then drains as if it had been asked to, instead of ending at once as Node would have it.
 */
import cluster from "node:cluster"
import type { Registry } from "prom-client"
import type { Config } from "../config/schema.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Listening, ToSupervisor, ToWorker } from "./worker-messages.ts"

const PAGE_MS_MAX = 3_000
const LAST_FIGURES_MS_MAX = 1_000

/** What of a worker follows what the supervisor tells. */
export type Configurable = {
  /** @throws Error where it cannot; the one before stays in force then */
  reconfigure(config: Config): Promise<void>
  tellConfig(state: string): void
  /** Another worker has died and left its journal behind. */
  workerDied(): void
}

export type Start = { readonly worker: number; readonly config: Config }

/** Lives as long as its process. */
export class WorkerLink {
  /** What to run; it does not come where the end is asked for first. */
  readonly started: Promise<Start>
  /** Resolves with the reason when the supervisor asks for the end, or has gone. */
  readonly stopped: Promise<string>
  readonly #pages = new Map<number, (page: string | null) => void>()
  #registry: Registry | null = null
  #configurable: Configurable | null = null
  #reconfigured: Promise<void> = Promise.resolve()
  #onFault: (fault: unknown) => void = () => undefined
  #nextId = 1

  constructor() {
    const start = Promise.withResolvers<Start>()
    const stop = Promise.withResolvers<string>()
    this.started = start.promise
    this.stopped = stop.promise
    process.on("message", (message: ToWorker) => {
      if (message.kind === "start") start.resolve(message)
      else if (message.kind === "stop") stop.resolve(message.reason)
      else if (message.kind === "reconfigure") this.#reconfigure(message.id, message.config)
      else if (message.kind === "config state") this.#configurable?.tellConfig(message.state)
      else if (message.kind === "worker died") this.#configurable?.workerDied()
      else if (message.kind === "collect") this.#answer(message.id).catch((fault) => this.#onFault(fault))
      else this.#pages.get(message.id)?.(message.kind === "page" ? message.text : null)
    })
    cluster.worker?.once("disconnect", () => {
      keepRunning()
      stop.resolve("the supervisor has gone")
    })
    send({ kind: "ready" })
  }

  /** From here on the supervisor is answered with this registry's figures, and its configuration is followed. */
  listening(
    told: Listening,
    app: Configurable & { readonly registry: Registry },
    onFault: (fault: unknown) => void,
  ): void {
    this.#registry = app.registry
    this.#configurable = app
    this.#onFault = onFault
    send({ kind: "listening", ...told })
  }

  notStarted(message: string): void {
    send({ kind: "not started", message })
  }

  /** The page of all workers together. @throws ApiError where the supervisor does not answer: a part is no whole */
  async metricsPage(): Promise<string> {
    const id = this.#nextId++
    const { promise, resolve } = Promise.withResolvers<string | null>()
    const timer = setTimeout(() => resolve(null), PAGE_MS_MAX)
    this.#pages.set(id, resolve)
    send({ kind: "page wanted", id })
    const page = await promise
    clearTimeout(timer)
    this.#pages.delete(id)
    if (page !== null) return page
    throw new ApiError("shutting_down", "The metrics of all workers are not to be had at the moment; try again.")
  }

  /** Leaves the last figures behind and closes the channel, which would keep the process running. */
  async close(): Promise<void> {
    if (!process.connected) return
    await this.#leaveFigures().catch((fault) => this.#onFault(fault))
    keepRunning()
    if (process.connected) process.disconnect()
  }

  async #leaveFigures(): Promise<void> {
    if (this.#registry === null) return
    const figures = await this.#registry.getMetricsAsJSON()
    const { promise, resolve } = Promise.withResolvers<void>()
    // A supervisor that reads nothing must not keep a worker from ending.
    const timer = setTimeout(resolve, LAST_FIGURES_MS_MAX)
    send({ kind: "last figures", figures }, resolve)
    await promise
    clearTimeout(timer)
  }

  /** One after the other, so that the last one sent is the one in force. */
  #reconfigure(id: number, config: Config): void {
    const answer = (failure: string | null) => send({ kind: "reconfigured", id, failure })
    this.#reconfigured = this.#reconfigured
      .then(() => this.#configurable?.reconfigure(config))
      .then(
        () => answer(null),
        (error: unknown) => answer(error instanceof Error ? error.message : String(error)),
      )
  }

  async #answer(id: number): Promise<void> {
    if (this.#registry !== null) send({ kind: "figures", id, figures: await this.#registry.getMetricsAsJSON() })
  }
}

/**
 * Serves what the supervisor says, until `end` resolves: by the supervisor's word, or by `asked`. Resolves with the exit
 * code of `serve` when the channel is closed; 0 where the end was asked for before there was anything to serve.
 */
export async function serveLinked(
  asked: Promise<string>,
  serve: (link: WorkerLink, start: Start, end: Promise<string>) => Promise<number>,
): Promise<number> {
  const link = new WorkerLink()
  const end = Promise.race([asked, link.stopped])
  const start = await Promise.race([link.started, end])
  const code = typeof start === "string" ? 0 : await serve(link, start, end)
  await link.close()
  return code
}

/** Node ends a worker whose channel closes, with code 0 and whatever it is doing, unless it is told that this was meant. */
function keepRunning(): void {
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
}

/** A supervisor that has gone hears nothing more, which "disconnect" tells better than an error here would. */
function send(message: ToSupervisor, sent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, {}, () => sent())
  else sent()
}
