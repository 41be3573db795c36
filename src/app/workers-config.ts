/**
 * The configuration of all workers. A new one is taken by all of them or by none: where one cannot, the others are given
 * the one before again. A worker that is started later starts with the newest.
 */
import type { Config } from "../config/schema.ts"
import type { Log } from "../platform/log.ts"
import { StartError } from "./start-error.ts"
import type { ToWorker } from "./worker-messages.ts"

/** Reading a long price book takes a fraction of a second. */
const ANSWER_MS_MAX = 10_000

type Member = {
  readonly send: (message: ToWorker) => void
  /** What it was given last. */
  config: Config
  /** What waits for its answers, by the id of the question. */
  readonly waiting: Map<number, (failure: string | null) => void>
}

export class WorkersConfig {
  readonly #log: Log
  /** What is chosen once for all workers and every configuration. */
  readonly #ports: Pick<Config, "listen" | "listeners">
  readonly #members = new Map<number, Member>()
  readonly #started = new Map<number, Config>()
  #config: Config
  #state = "current"
  #nextId = 1

  constructor(config: Config, ports: Pick<Config, "listen" | "listeners">, log: Log) {
    this.#log = log
    this.#ports = ports
    this.#config = { ...config, ...ports }
  }

  get current(): Config {
    return this.#config
  }

  /** What a worker is to start with. */
  startWith(worker: number): Config {
    this.#started.set(worker, this.#config)
    return this.#config
  }

  /** A worker listens; one that has started with an older configuration is given the newest. */
  joined(worker: number, send: (message: ToWorker) => void): void {
    const member: Member = { send, config: this.#started.get(worker) ?? this.#config, waiting: new Map() }
    this.#members.set(worker, member)
    send({ kind: "config state", state: this.#state })
    if (member.config === this.#config) return
    void this.#give(member, this.#config).then((failure) => {
      if (failure !== null) this.#log.error({ failure }, "a worker did not take the newest configuration")
    })
  }

  told(worker: number, id: number, failure: string | null): void {
    this.#members.get(worker)?.waiting.get(id)?.(failure)
  }

  left(worker: number): void {
    this.#started.delete(worker)
    for (const resolve of this.#members.get(worker)?.waiting.values() ?? []) resolve(null)
    this.#members.delete(worker)
  }

  tell(state: string): void {
    this.#state = state
    for (const { send } of this.#members.values()) send({ kind: "config state", state })
  }

  /** @throws StartError where a worker cannot go on with it; all have the one before then */
  async change(config: Config): Promise<void> {
    const before = this.#config
    this.#config = { ...config, ...this.#ports }
    const failures = await this.#giveAll()
    if (failures.size === 0) return
    this.#config = before
    await this.#giveAll()
    throw new StartError([...failures].join("\n"))
  }

  async #giveAll(): Promise<ReadonlySet<string>> {
    const answers = await Promise.all([...this.#members.values()].map((member) => this.#give(member, this.#config)))
    return new Set(answers.filter((failure) => failure !== null))
  }

  /** Null where the worker has taken it, or has gone: it will be started with the newest. */
  async #give(member: Member, config: Config): Promise<string | null> {
    const id = this.#nextId++
    const { promise, resolve } = Promise.withResolvers<string | null>()
    const timer = setTimeout(() => resolve("a worker did not answer in time."), ANSWER_MS_MAX)
    member.config = config
    member.waiting.set(id, resolve)
    member.send({ kind: "reconfigure", id, config })
    const failure = await promise
    clearTimeout(timer)
    member.waiting.delete(id)
    return failure
  }
}
