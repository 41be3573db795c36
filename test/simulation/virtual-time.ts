/**
 * Time and chance of a simulated world. Timers of the code under test are events here, run one after the other, each with
 * all that follows from it before the next: the same seed gives the same run, to the last step. Every event belongs to a
 * process, and so does what it plans; a process can be frozen, or killed with all it had planned.
 */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** At least 0 and less than 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number, both ends included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  chance(percent: number): boolean {
    return this.next() * 100 < percent
  }

  of<T>(some: readonly T[]): T {
    return some[this.whole(0, some.length - 1)] as T
  }
}

/** An event to come; without `run` it is called off. */
export type Planned = { atMs: number; readonly serial: number; readonly owner: string; run: (() => void) | null }

export class VirtualTime {
  nowMs = 0
  /** Whose event is run; '' is nobody's, the world's own. */
  owner = ""
  readonly #events: Planned[] = []
  readonly #frozenUntilMs = new Map<string, number>()
  readonly #dead = new Set<string>()
  #serial = 0
  #restore: (() => void) | null = null

  /** Plans for the process whose event is run now, or for another one. */
  after(ms: number, run: () => void, owner = this.owner): Planned {
    const event = { atMs: this.nowMs + ms, serial: this.#serial, owner, run }
    this.#serial += 1
    this.#push(event)
    return event
  }

  freeze(owner: string, ms: number): void {
    this.#frozenUntilMs.set(owner, this.nowMs + ms)
  }

  /** Nothing that it has planned happens, nor what it plans from now on. */
  kill(owner: string): void {
    this.#dead.add(owner)
  }

  isDead(owner: string): boolean {
    return this.#dead.has(owner)
  }

  /** Runs all that is due until then. */
  async run(untilMs: number): Promise<void> {
    for (let event = this.#events[0]; event !== undefined && event.atMs <= untilMs; event = this.#events[0]) {
      this.#pop()
      const { run, owner } = event
      if (run === null || this.#dead.has(owner)) continue
      const frozenUntilMs = this.#frozenUntilMs.get(owner) ?? 0
      if (frozenUntilMs > event.atMs) {
        this.#push({ ...event, atMs: frozenUntilMs })
        continue
      }
      this.nowMs = event.atMs
      await this.as(owner, run)
    }
    this.nowMs = untilMs
  }

  /** Runs something of a process, and all promises that settle by it. */
  async as(owner: string, run: () => void): Promise<void> {
    this.owner = owner
    run()
    // Comes when no promise is left to settle.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    this.owner = ""
  }

  /** Puts this time in the place of the timers that all code of this process uses, until `uninstall`. */
  install(): void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate } = globalThis
    this.#restore = () =>
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate })
    const handle = (event: Planned) => ({ event, unref: () => handle(event), ref: () => handle(event) })
    const clear = (timer: { readonly event: Planned } | undefined | null) => {
      if (timer?.event !== undefined) timer.event.run = null
    }
    const every = (run: () => void, ms: number) => {
      const repeating = handle({ atMs: 0, serial: 0, owner: this.owner, run })
      const plan = () => {
        const event = this.after(ms, () => {
          if (repeating.event.run === null) return
          run()
          plan()
        })
        return event
      }
      plan()
      return repeating
    }
    Object.assign(globalThis, {
      setTimeout: (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]) =>
        handle(this.after(Math.max(1, ms), () => run(...args))),
      setImmediate: (run: () => void) => handle(this.after(0, run)),
      setInterval: every,
      clearTimeout: clear,
      clearInterval: clear,
    })
  }

  uninstall(): void {
    this.#restore?.()
    this.#restore = null
  }

  /** A heap: the earliest event first, of one moment the one that was planned first. */
  #push(event: Planned): void {
    const events = this.#events
    events.push(event)
    for (let at = events.length - 1; at > 0; ) {
      const above = (at - 1) >> 1
      if (!isBefore(events[at] as Planned, events[above] as Planned)) break
      ;[events[at], events[above]] = [events[above] as Planned, events[at] as Planned]
      at = above
    }
  }

  #pop(): void {
    const events = this.#events
    const last = events.pop() as Planned
    if (events.length === 0) return
    events[0] = last
    for (let at = 0; ; ) {
      let least = at
      for (const below of [2 * at + 1, 2 * at + 2]) {
        if (below < events.length && isBefore(events[below] as Planned, events[least] as Planned)) least = below
      }
      if (least === at) return
      ;[events[at], events[least]] = [events[least] as Planned, events[at] as Planned]
      at = least
    }
  }
}

function isBefore(one: Planned, other: Planned): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.serial < other.serial)
}
