/**
 * One organization's acts of one event-loop tick, sent as one script call: that is what keeps the proxy's cost of an act
 * to a few microseconds. Each act has its own answer; a call that fails fails all acts in it. Every call carries the
 * epoch that this process knows, so that an act which arrives after the counters were rebuilt is refused, not counted twice.
 */
import type { RedisScript, RedisScripts } from "../platform/redis-script.ts"
import { OrganizationKeys } from "./redis-keys.ts"

/** Acts in one call; Redis serves nobody else while a script runs (about 50 µs for each act with seven limits). */
export const ACTS_PER_CALL_MAX = 32

/** UUIDv7 is cut at 32 of its 48 bits of time: steps of 65.536 s, nine of them to a bucket. */
const STEPS_PER_BUCKET = 9

const HOLD_ID = /^[!-~]{1,128}$/

export type OrganizationState = "missing" | "recovering" | "open"

/** What the store says of an organization whose epoch is not ours. */
export type OtherEpoch = {
  readonly state: OrganizationState
  readonly epoch: string
  /** Of the directory, when its counters were filled; 0 where that is not known. */
  readonly version: number
}

export type Act = {
  /** R reserve, M extend (more), S settle, F release (free), X expire, A assert a hold, C assert a charge, V view. */
  readonly op: "R" | "M" | "S" | "F" | "X" | "A" | "C" | "V"
  readonly id: string
  readonly leaseMs: number | ""
  readonly owner: string
  /** Charge lines. */
  readonly lines: string
  /** Whose windows the act may touch. */
  readonly windows: readonly { readonly window: string }[]
}

type Waiting = {
  readonly act: Act
  readonly answer: (reply: string) => void
  readonly reject: (error: unknown) => void
}

export type BatchOptions = {
  readonly organizationId: string
  readonly scripts: RedisScripts
  readonly script: RedisScript
  /** The store's epoch is another one, or it is not open. */
  readonly onOtherEpoch: () => void
}

export class RedisBatch {
  readonly organizationId: string
  readonly keys: OrganizationKeys
  readonly #options: BatchOptions
  /** '' before this process has met the organization. */
  #epoch = ""
  #version = 0
  #waiting: Waiting[] = []

  constructor(options: BatchOptions) {
    this.#options = options
    this.organizationId = options.organizationId
    this.keys = new OrganizationKeys(options.organizationId)
  }

  get epoch(): string {
    return this.#epoch
  }

  /** The directory's version when the counters of this epoch were filled: limits that were seeded later are not whole in them. */
  get version(): number {
    return this.#version
  }

  /** Acts asked for before now go out under the epoch that was known then. */
  adopt(epoch: string, version: number): void {
    this.flush()
    this.#epoch = epoch
    this.#version = version
  }

  /** `read` makes the answer out of the reply; one promise for each act is all that a batch costs beside its text. */
  ask<T>(act: Act, read: (reply: string) => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!HOLD_ID.test(act.id)) throw new RangeError(`"${act.id}" cannot name a hold`)
      const answer = (reply: string) => {
        try {
          resolve(read(reply))
        } catch (error) {
          reject(error)
        }
      }
      this.#wait({ act, answer, reject })
    })
  }

  send(act: Act): Promise<string> {
    return this.ask(act, (reply) => reply)
  }

  #wait(one: Waiting): void {
    this.#waiting.push(one)
    if (this.#waiting.length === 1) setImmediate(() => this.flush())
  }

  /** Sends what waits for the end of this tick. */
  flush(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (let from = 0; from < waiting.length; from += ACTS_PER_CALL_MAX) {
      const some = waiting.length <= ACTS_PER_CALL_MAX ? waiting : waiting.slice(from, from + ACTS_PER_CALL_MAX)
      this.#call(some).catch((error: unknown) => {
        for (const { reject } of some) reject(error)
      })
    }
  }

  async #call(waiting: readonly Waiting[]): Promise<void> {
    const epoch = this.#epoch
    const windows = new Set<string>()
    const buckets = new Set<string>()
    const acts: string[] = []
    for (const { act } of waiting) {
      for (const { window } of act.windows) windows.add(window)
      const bucket = bucketOf(act.id)
      buckets.add(bucket)
      acts.push(`${act.op}\t${act.id}\t${bucket}\t${act.leaseMs}\t${act.owner}\n${act.lines}`)
    }
    const { keys } = this
    const args = [keys.state, keys.holds, keys.leaseEnds, keys.windows]
    for (const window of windows) args.push(keys.window(window))
    for (const bucket of buckets) args.push(keys.finished(epoch, bucket))
    const keyCount = args.length
    args.push(epoch, String(windows.size), ...acts)
    const replies = await this.#options.scripts.run(this.#options.script, keyCount, args)
    if (!Array.isArray(replies) || replies.length !== waiting.length + 1) {
      throw new Error(`the batch script answered ${JSON.stringify(replies)} to ${waiting.length} acts`)
    }
    this.#answer(waiting, replies, epoch)
  }

  #answer(waiting: readonly Waiting[], replies: readonly unknown[], sentEpoch: string): void {
    const other = readOtherEpoch(replies[0])
    // First contact with an organization that others have opened: nothing of ours is missing there.
    const isFirstContact = sentEpoch === "" && other?.state === "open" && (this.#epoch || other.epoch) === other.epoch
    if (isFirstContact) {
      this.#epoch = other.epoch
      this.#version = other.version
    }
    const hasNewEpoch = this.#epoch !== sentEpoch
    let isRecovering = other !== undefined && !isFirstContact
    waiting.forEach((one, index) => {
      const reply = String(replies[index + 1])
      const isRefused = reply === "R"
      // What was held under an epoch that has passed meanwhile is not held any more: asked again, it is answered by what counts now.
      const isToRepeat = isFirstContact ? isRefused : hasNewEpoch && (one.act.op === "R" || one.act.op === "M")
      if (isToRepeat) {
        this.#wait(one)
        return
      }
      if (isRefused) isRecovering = true
      one.answer(reply)
    })
    if (isRecovering) this.#options.onOtherEpoch()
  }
}

/** `state \t epoch \t version`; '' says that all is as we think. */
export function readOtherEpoch(text: unknown): OtherEpoch | undefined {
  if (typeof text !== "string" || text === "") return undefined
  const [state = "", epoch = "", version = ""] = text.split("\t")
  return { state: state === "open" || state === "recovering" ? state : "missing", epoch, version: Number(version) }
}

/** The bucket of finished ids that an id belongs to, of about ten minutes by its own time; ids of another kind share one. */
export function bucketOf(id: string): string {
  if (id.length !== 36 || id.charCodeAt(14) !== 0x37) return "0"
  const steps = Number.parseInt(id.slice(0, 8), 16)
  return Number.isNaN(steps) ? "0" : String(Math.floor(steps / STEPS_PER_BUCKET))
}
