/**
 * Loads the configuration again while the proxy runs: on SIGHUP, and when the file, or a price file that it names, has
 * changed. What is wrong with the new one is said, in the log as `config check` prints it, in a metric and on `/readyz`,
 * and the one in force stays. Loads come one after the other; those asked for meanwhile become one.
 */
import { Gauge, type Registry } from "prom-client"
import { formatProblem, type LoadResult } from "../config/load.ts"
import type { Config } from "../config/schema.ts"
import { FileWatch } from "../platform/file-watch.ts"
import type { Log } from "../platform/log.ts"
import { planReload } from "./reload-plan.ts"
import { StartError } from "./start-error.ts"

/** What is reloaded: the app, or the supervisor of several. */
export type Reloadable = {
  readonly registry: Registry
  readonly log: Log
  /** Goes on with another configuration. @throws StartError where it cannot; the one before stays in force then */
  reconfigure(config: Config): Promise<void>
  /** What `/readyz` says of the configuration from now on. */
  tellConfig(state: string): void
}

export type ReloadOptions = {
  /** The file that is watched, there or not, as an absolute path. */
  readonly file: string
  /** Reads the configuration as the start did. */
  readonly load: () => LoadResult
  /** What the start has read. */
  readonly running: Config
}

export class ConfigReload {
  readonly #options: ReloadOptions
  readonly #watch: FileWatch
  #target: Reloadable | null = null
  #figures: { readonly success: Gauge; readonly loadedAt: Gauge } | null = null
  #running: Config
  /** Of the configuration that was read last, in force or not: mending one of them is a reason to load again. */
  #priceFiles: readonly string[]
  #loading: Promise<void> | null = null
  #asked: string | null = null
  #isStopped = false

  constructor(options: ReloadOptions) {
    this.#options = options
    this.#running = options.running
    this.#priceFiles = options.running.prices.files
    this.#watch = new FileWatch({
      files: () => [options.file, ...this.#priceFiles],
      onChange: () => this.ask("a changed file"),
    })
  }

  /** Watches the files from now on; what is asked for waits for somebody who follows. */
  start(): Promise<void> {
    return this.#watch.start()
  }

  /** Changes this one's configuration from now on; it runs with what the start has read. */
  follow(target: Reloadable): void {
    this.#target = target
    this.#figures = registerFigures(target.registry)
    this.#next()
  }

  /** Loads again, now or after the load under way. `reason` goes to the log. */
  ask(reason: string): void {
    this.#asked = reason
    this.#next()
  }

  /** Resolves when nothing is loaded any more; nothing will be. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#watch.stop()
    await this.#loading
  }

  #next(): void {
    const [reason, target] = [this.#asked, this.#target]
    if (reason === null || target === null || this.#loading !== null || this.#isStopped) return
    this.#asked = null
    this.#loading = this.#load(target, reason)
      .catch((fault: unknown) => this.#failed(target, fault))
      .finally(() => {
        this.#loading = null
        this.#next()
      })
  }

  async #load(target: Reloadable, reason: string): Promise<void> {
    // Before each is read: what changes in between is seen as a change, and loaded once more.
    await this.#watch.adopt()
    const loaded = this.#options.load()
    if (loaded.kind === "invalid") throw new StartError(loaded.problems.map(formatProblem).join("\n"))
    this.#priceFiles = loaded.config.prices.files
    await this.#watch.adopt()
    const { config, changed, waiting } = planReload(this.#running, loaded.config)
    await target.reconfigure(config)
    this.#running = config
    this.#figures?.success.set(1)
    this.#figures?.loadedAt.set(Date.now() / 1000)
    target.tellConfig(waiting.length === 0 ? "current" : `at the next start: ${waiting.join(", ")}`)
    target.log.info({ reason, changed, notes: loaded.notes }, "the configuration was loaded again")
    if (waiting.length > 0) target.log.warn({ keys: waiting }, `takes effect at the next start: ${waiting.join(", ")}`)
  }

  #failed(target: Reloadable, fault: unknown): void {
    this.#figures?.success.set(0)
    const isMendable = fault instanceof StartError
    if (isMendable) for (const line of fault.message.split("\n")) target.log.error(line)
    target.log.error(isMendable ? {} : { err: fault }, "the configuration was not loaded again; the one in force stays")
    target.tellConfig("reload failed")
  }
}

function registerFigures(registry: Registry): { readonly success: Gauge; readonly loadedAt: Gauge } {
  const registers = [registry]
  const success = new Gauge({
    name: "tallygate_config_reload_success",
    help: "1 while the configuration in force is the one that was loaded last, 0 after a load that failed.",
    registers,
  })
  const loadedAt = new Gauge({
    name: "tallygate_config_last_reload_timestamp_seconds",
    help: "When the configuration in force was loaded, as Unix time.",
    registers,
  })
  success.set(1)
  loadedAt.set(Date.now() / 1000)
  return { success, loadedAt }
}
