/**
 * The page `/metrics` of all workers. Each is asked for its figures; one that does not answer in time is shown as
 * silent and left out, but for its counters: a sum that loses an addend looks like a restart to whoever reads it. The
 * counters of workers that have gone stay in it too, as they were last seen.
 */
import { Gauge, Registry } from "prom-client"
import { countersOf, mergeFigures, printFigures } from "./worker-figures.ts"
import type { Figures, ToWorker } from "./worker-messages.ts"

const ANSWER_MS_MAX = 1_000

type Send = (message: ToWorker) => void
type Member = { readonly send: Send; figures: Figures; answer: ((id: number) => void) | null }

export class WorkersMetrics {
  readonly #registry = new Registry()
  readonly #members = new Map<number, Member>()
  /** Of workers that have gone; folded into one when a page is made. */
  readonly #gone: Figures[] = []
  #running: Promise<string> | null = null
  #nextId = 1
  #silent = 0

  /** `states` counts the workers by what they are doing, when the page is asked for. */
  constructor(states: () => ReadonlyMap<string, number>) {
    const gauge: Gauge = new Gauge({
      name: "tallygate_workers",
      help: "Workers by state; silent ones listen but did not answer for this page.",
      labelNames: ["state"],
      registers: [this.#registry],
      collect: () => {
        const counts = new Map(states())
        counts.set("silent", this.#silent)
        counts.set("listening", (counts.get("listening") ?? 0) - this.#silent)
        for (const [state, count] of counts) gauge.set({ state }, count)
      },
    })
  }

  /** Where what the supervisor itself counts is registered. */
  get registry(): Registry {
    return this.#registry
  }

  joined(worker: number, send: Send): void {
    this.#members.set(worker, { send, figures: [], answer: null })
  }

  /** `id` is that of the question, null for figures that come unasked. */
  told(worker: number, figures: Figures, id: number | null): void {
    const member = this.#members.get(worker)
    if (member === undefined) return
    member.figures = figures
    if (id !== null) member.answer?.(id)
  }

  left(worker: number): void {
    const member = this.#members.get(worker)
    if (member === undefined) return
    this.#members.delete(worker)
    member.answer?.(Number.POSITIVE_INFINITY)
    if (member.figures.length > 0) this.#gone.push(countersOf(member.figures))
  }

  /** Those who ask while a page is made get the same one. */
  page(): Promise<string> {
    this.#running ??= this.#make().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #make(): Promise<string> {
    const id = this.#nextId++
    const asked = [...this.#members.values()]
    const hasAnswered = await Promise.all(asked.map((member) => ask(member, id)))
    const answers = asked.flatMap((member, index) => (hasAnswered[index] === true ? [member] : []))
    const gone = this.#gone.slice()
    this.#gone.splice(0, gone.length, await mergeFigures(gone))
    // Nothing is awaited between here and the last addend: who leaves meanwhile is present or gone, not both or neither.
    const present = [...this.#members.values()]
    const silent = present.filter((member) => asked.includes(member) && !answers.includes(member))
    this.#silent = silent.length
    const addends = [
      ...present.map((member) => (answers.includes(member) ? member.figures : countersOf(member.figures))),
      ...this.#gone,
    ]
    return printFigures([...addends, await this.#registry.getMetricsAsJSON()])
  }
}

/** False where no answer came in time, or its worker went. */
function ask(member: Member, id: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), ANSWER_MS_MAX)
  // A late answer to an earlier question is news all the same, but not the one that is awaited.
  member.answer = (answered) => {
    if (answered >= id) resolve(answered === id)
  }
  member.send({ kind: "collect", id })
  return promise.finally(() => {
    clearTimeout(timer)
    member.answer = null
  })
}
