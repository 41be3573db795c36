/**
 * The acts by which proxies agree, in Redis, on filling an organization's counters from the ledger: who coordinates,
 * what the snapshot contains, who has asserted what it knows, when calls are admitted again. Each is idempotent and
 * bound to an epoch; `recovery.ts` says in which order they come.
 */
import { randomBytes } from "node:crypto"
import type { RedisClient } from "../platform/redis.ts"
import { type RedisScript, RedisScripts } from "../platform/redis-script.ts"
import type { LedgerSnapshot, SettledAmount } from "./limit-store.ts"
import { latestEnd } from "./redis-charges.ts"
import { counterField, OrganizationKeys } from "./redis-keys.ts"
import { texts } from "./redis-replies.ts"
import { type LimitScripts, limitScripts } from "./redis-scripts.ts"

export type Standing = {
  readonly state: "open" | "recovering"
  readonly epoch: string
  readonly isCoordinator: boolean
  /** Milliseconds since the snapshot was loaded, by the server's clock; null before. */
  readonly loadedForMs: number | null
  /** The directory's, of the snapshot that was loaded; 0 before. */
  readonly version: number
  readonly answeredBy: ReadonlySet<string>
  readonly acks: ReadonlyMap<string, number>
}

export type RedisRecoveryActsOptions = {
  readonly client: RedisClient
  /** This process, by the name that `liveProxies` uses. */
  readonly proxy: string
  /** A coordinator that is silent for this long is replaced. */
  readonly coordinatorLeaseMs?: number
  readonly scripts?: LimitScripts
}

/** Read by every proxy, so that one without calls learns of a recovery too. Not atomic with the state, nor need it be. */
const RECOVERING_KEY = "tg:recovering"
/** Longer than reading a snapshot may take, so that a slow ledger does not have proxies replace one another for ever. */
const COORDINATOR_LEASE_MS = 15_000
const AMOUNTS_PER_CALL = 500
/** The id of the ledger that all counters were filled from. */
const LEDGER_KEY = "tg:ledger"
const OWNERS_AT_ONCE = 16

export class RedisRecoveryActs {
  readonly #client: RedisClient
  readonly #scripts: RedisScripts
  readonly #texts: LimitScripts
  readonly #proxy: string
  readonly #coordinatorLeaseMs: number

  constructor(options: RedisRecoveryActsOptions) {
    this.#client = options.client
    this.#scripts = new RedisScripts(options.client)
    this.#texts = options.scripts ?? limitScripts()
    this.#proxy = options.proxy
    this.#coordinatorLeaseMs = options.coordinatorLeaseMs ?? COORDINATOR_LEASE_MS
  }

  /** Where the organization stands; begins its recovery where it is missing or has no good epoch, and coordinates where nobody does. */
  async begin(organizationId: string, badEpoch = ""): Promise<Standing> {
    const args = [this.#proxy, String(this.#coordinatorLeaseMs), newEpoch(), badEpoch]
    const reply = texts(await this.#run(this.#texts.begin, [new OrganizationKeys(organizationId).state], args))
    const [state = "", epoch = "", coordinator = "", loadedMs = "", nowMs = "", version = "", ...fields] = reply
    const answeredBy = new Set<string>()
    const acks = new Map<string, number>()
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const name = fields[at] ?? ""
      if (name.startsWith("p:")) answeredBy.add(name.slice(2))
      else acks.set(name.slice(2), Number(fields[at + 1]))
    }
    if (state === "recovering") await this.#client.hset(RECOVERING_KEY, organizationId, epoch)
    return {
      state: state === "open" ? "open" : "recovering",
      epoch,
      isCoordinator: state === "recovering" && coordinator === this.#proxy,
      version: Number(version),
      loadedForMs: loadedMs === "" ? null : Number(nowMs) - Number(loadedMs),
      answeredBy,
      acks,
    }
  }

  /** The windows that a load must drop; to be read after `begin` and before the snapshot. */
  windows(organizationId: string): Promise<string[]> {
    return this.#client.zrange(new OrganizationKeys(organizationId).windows, "0", "-1")
  }

  /** Puts the snapshot in the place of all counters and holds. False where somebody else has taken over. */
  async load(organizationId: string, epoch: string, snapshot: LedgerSnapshot, nowMs: number): Promise<boolean> {
    const keys = new OrganizationKeys(organizationId)
    const known = await this.windows(organizationId)
    const acks = [...snapshot.acks].flatMap(([journal, seq]) => [journal, String(seq)])
    for (let from = 0; from === 0 || from < snapshot.settled.length; from += AMOUNTS_PER_CALL) {
      const rows = snapshot.settled.slice(from, from + AMOUNTS_PER_CALL)
      const isFirst = from === 0
      const isLast = from + AMOUNTS_PER_CALL >= snapshot.settled.length
      const windows = new Set([...(isFirst ? ["now", "rate", ...known] : []), ...rows.map(({ window }) => window)])
      const keyNames = [keys.state, keys.holds, keys.leaseEnds, keys.windows]
      keyNames.push(...[...windows].map((window) => keys.window(window)))
      const args = [
        epoch,
        this.#proxy,
        isFirst ? "1" : "",
        isLast ? String(snapshot.version ?? 0) : "",
        String(rows.length),
      ]
      args.push(...rows.flatMap((row) => amountWords(row, nowMs)), ...(isLast ? acks : []))
      if ((await this.#run(this.#texts.load, keyNames, args)) !== 1) return false
    }
    return true
  }

  /** This process has asserted all that the snapshot lacks. False where the epoch has passed. */
  answered(organizationId: string, epoch: string): Promise<boolean> {
    return this.#mark(organizationId, epoch, "answered")
  }

  /** Admits calls again. False where the epoch has passed. */
  async open(organizationId: string, epoch: string): Promise<boolean> {
    const isOpen = await this.#mark(organizationId, epoch, "open")
    if (isOpen) await this.retract(organizationId, epoch)
    return isOpen
  }

  /** The counters lack what limits start from that were seeded with this version: begin again, unless that was begun already. */
  behind(organizationId: string, epoch: string, version: number): Promise<boolean> {
    return this.#mark(organizationId, epoch, "behind", newEpoch(), version)
  }

  /** Begins again from a snapshot that is yet to be read, also where one is being loaded or was loaded a moment ago. */
  async anew(organizationId: string): Promise<void> {
    for (;;) {
      const { epoch } = await this.begin(organizationId)
      const next = newEpoch()
      if (!(await this.#mark(organizationId, epoch, "anew", next))) continue
      // Nobody coordinates it yet: whoever of the proxies looks first.
      await this.#client.hset(RECOVERING_KEY, organizationId, next)
      return
    }
  }

  /**
   * Takes up a ledger: where the counters were filled from another one, every owner that has some begins again from this
   * one. Its name is set only when all have, so that of proxies that start at once, or die on the way, none admits by the
   * other ledger's counters; doing it twice costs a recovery and no more. Returns how many begin again.
   */
  async takeUpLedger(ledgerId: string, owners: readonly string[]): Promise<number> {
    if ((await this.#client.get(LEDGER_KEY)) === ledgerId) return 0
    const left = [...owners]
    let begun = 0
    while (left.length > 0) {
      const known = await Promise.all(left.splice(0, OWNERS_AT_ONCE).map((owner) => this.#anewWhereKnown(owner)))
      begun += known.filter((isKnown) => isKnown).length
    }
    await this.#client.set(LEDGER_KEY, ledgerId)
    return begun
  }

  /** Who has no counters is filled from the ledger at the first call anyway. */
  async #anewWhereKnown(organizationId: string): Promise<boolean> {
    const isKnown = (await this.#client.exists(new OrganizationKeys(organizationId).state)) === 1
    if (isKnown) await this.anew(organizationId)
    return isKnown
  }

  /** Organizations that recover, with their epochs. */
  async recovering(): Promise<ReadonlyMap<string, string>> {
    return new Map(Object.entries(await this.#client.hgetall(RECOVERING_KEY)))
  }

  async retract(organizationId: string, epoch: string): Promise<void> {
    await this.#run(this.#texts.retract, [RECOVERING_KEY], [organizationId, epoch])
  }

  async #mark(
    organizationId: string,
    epoch: string,
    act: "answered" | "open" | "behind" | "anew",
    next = newEpoch(),
    version = 0,
  ): Promise<boolean> {
    const args = [epoch, act, this.#proxy, next, String(version)]
    return (await this.#run(this.#texts.mark, [new OrganizationKeys(organizationId).state], args)) === 1
  }

  #run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#scripts.run(script, keys.length, [...keys, ...args])
  }
}

function amountWords({ window, limitId, subject, settled }: SettledAmount, nowMs: number): string[] {
  return [window, latestEnd(window, nowMs), counterField(limitId, subject), settled.toString()]
}

/** Never the same again, not even on a server that has lost all it knew. */
function newEpoch(): string {
  return randomBytes(12).toString("hex")
}
