/**
 * Charges as the scripts read them, one line each, and what the scripts answer. The part of a line that does not change
 * from call to call is kept per limit, since writing it anew was most of the cost of an act.
 */
import {
  ENFORCEMENTS,
  LIMIT_DEFAULTS,
  LIMIT_KINDS,
  LIMIT_SCOPES,
  LIMIT_WINDOWS,
  type Limit,
  refuses,
  STORE_FAILURE_POLICIES,
} from "../identity/limit.ts"
import { type Counter, hasRoom, newCounter, stateOf, waitMs } from "./counter.ts"
import type { Charge, CounterState, ReserveReply } from "./limit-store.ts"
import { counterKind, type DurableCharge } from "./limits.ts"
import { counterField } from "./redis-keys.ts"
import { earlierWindows, lastReadMs, windowMsMax } from "./window.ts"

/** Counters are 64-bit in Redis; this leaves room for nine of the largest amounts on one counter (a billion dollars each). */
const AMOUNT_MAX = 10n ** 18n
const CAP_MAX = 2n ** 63n - 1n
const WORD = /^[^\t\n\r]+$/

type CachedLine = { readonly window: string; readonly resetsAtMs: number | null; readonly text: string }

export class ChargeLines {
  readonly #cached = new WeakMap<Limit, CachedLine>()

  /** All charges, each on its line; negative ones only where `isCredit`. Throws RangeError before anything is sent. */
  write(charges: readonly Charge[], isCredit = false): string {
    let text = ""
    for (const charge of charges) {
      const { amount } = charge
      if (amount < 0n && !isCredit) throw new RangeError(`charge on limit ${charge.limit.id} is negative: ${amount}`)
      if (amount > AMOUNT_MAX || amount < -AMOUNT_MAX)
        throw new RangeError(`charge on limit ${charge.limit.id} is too large: ${amount}`)
      text += `${this.#constantPart(charge)}${amount}\n`
    }
    return text
  }

  #constantPart({ limit, window, resetsAtMs }: Charge): string {
    const cached = this.#cached.get(limit)
    if (cached !== undefined && cached.window === window && cached.resetsAtMs === resetsAtMs) return cached.text
    const name = counterField(limit.id, limit.subject)
    if (!WORD.test(name) || !WORD.test(window))
      throw new RangeError(`limit ${limit.id} has a name with a tab or line end`)
    const cap = limit.cap > CAP_MAX ? CAP_MAX : limit.cap < 0n ? 0n : limit.cap
    const ends = lastReadMs(window, resetsAtMs) ?? ""
    const text = `${window}\t${name}\t${kindLetter(limit)}\t${cap}\t${ends}\t${termsOf(limit, window)}\t`
    this.#cached.set(limit, { window, resetsAtMs, text })
    return text
  }
}

/** The windows whose counters an act on these charges reads or writes. */
export function windowsOf(charges: readonly Charge[]): readonly { readonly window: string }[] {
  if (!charges.some(({ limit }) => limit.window === "rolling")) return charges
  return charges.flatMap((charge) => [charge, ...earlierWindows(charge.window).map((window) => ({ window }))])
}

/** Charges of the ledger's records, all of them on budgets. */
export function durableLines(charges: readonly DurableCharge[], nowMs: number): string {
  return charges
    .map(({ limit_id, subject, window, amount }) => {
      return `${window}\t${counterField(limit_id, subject)}\tb\t0\t${latestEnd(window, nowMs)}\t\t${amount}\n`
    })
    .join("")
}

/** When a window that is running ends at the latest, in epoch milliseconds, by its name alone; '' where it does not end. */
export function latestEnd(window: string, nowMs: number): string {
  const msMax = windowMsMax(window)
  return msMax === null ? "" : String(nowMs + msMax)
}

/** A rate's letter says its period; the twin of `RATE_PERIODS_MS` in `counters.lua`. */
const RATE_LETTERS: Readonly<Partial<Record<Limit["window"], string>>> = {
  second: "s",
  minute: "r",
  hour: "h",
  per_day: "d",
}

function kindLetter(limit: Limit): string {
  const kind = counterKind(limit)
  if (kind === "rate") return RATE_LETTERS[limit.window] ?? "r"
  if (kind === "budget") return limit.window === "rolling" ? "w" : "b"
  return "c"
}

/** The rest of the limit, so that a hold can be listed by a process that did not make it. The scripts read its end. */
function termsOf(limit: Limit, window: string): string {
  const terms = [
    LIMIT_SCOPES.indexOf(limit.scope),
    LIMIT_KINDS.indexOf(limit.kind),
    LIMIT_WINDOWS.indexOf(limit.window),
    STORE_FAILURE_POLICIES.indexOf(limit.onStoreFailure),
    limit.anchorDay,
    limit.timeZone,
  ].join(",")
  const lenient = refuses(limit) ? "" : limit.enforcement
  if (limit.window === "rolling") return `${terms},${lenient},${earlierWindows(window).join(";")}`
  return lenient === "" ? terms : `${terms},${lenient}`
}

/** A live hold as it stands in Redis: `since \t owner \n` and charge lines. */
export type Lease = {
  /** Microseconds of the server's clock: the order in which holds were made. */
  readonly sinceUs: number
  readonly owner: string
  readonly charges: readonly Charge[]
}

export function readLease(organizationId: string, text: string): Lease {
  const [head = "", ...lines] = text.split("\n")
  const [since = "", owner = ""] = head.split("\t")
  const charges = lines.filter((line) => line !== "").map((line) => readCharge(organizationId, line))
  return { sinceUs: Number(since), owner, charges }
}

function readCharge(organizationId: string, line: string): Charge {
  const [window = "", name = "", , cap = "0", ends = "", terms = "", amount = "0"] = line.split("\t")
  const [scope, kind, limitWindow, policy, anchorDay, timeZone = "UTC", enforcement] = terms.split(",")
  const bar = name.indexOf("|")
  const limit: Limit = {
    id: name.slice(0, bar),
    organizationId,
    scope: LIMIT_SCOPES[Number(scope)] ?? "key",
    subject: name.slice(bar + 1),
    kind: LIMIT_KINDS[Number(kind)] ?? "usd",
    window: LIMIT_WINDOWS[Number(limitWindow)] ?? "lifetime",
    cap: BigInt(cap),
    timeZone,
    anchorDay: Number(anchorDay ?? 1),
    onStoreFailure: STORE_FAILURE_POLICIES[Number(policy)] ?? "deny",
    enforcement: ENFORCEMENTS.find((known) => known === enforcement) ?? LIMIT_DEFAULTS.enforcement,
    // Of no concern to a hold: its cap and its subject are those that applied.
    thresholds: LIMIT_DEFAULTS.thresholds,
    unbounded: LIMIT_DEFAULTS.unbounded,
    raise: null,
    each: "",
    filter: null,
    sliceTokens: null,
  }
  const readForMs = lastReadMs(window, 0) ?? 0
  return { limit, window, resetsAtMs: ends === "" ? null : Number(ends) - readForMs, amount: BigInt(amount) }
}

/** The counters that a script tells, one word for each charge. */
export function readStates(text: string, charges: readonly Charge[]): CounterState[] {
  const words = text.split(" ")
  return charges.map((charge, index) => {
    const word = words[index] ?? "0"
    const comma = word.indexOf(",")
    if (comma === -1) return stateOf(counterOf(charge, word))
    return { settled: BigInt(word.slice(0, comma)), held: BigInt(word.slice(comma + 1)), emptyInMs: null }
  })
}

/** `<denied>,<due> <states>`: the wait is the longest of all charges without room, as in the in-process store. */
export function readDenial(text: string, charges: readonly Charge[]): Extract<ReserveReply, { kind: "denied" }> {
  const blank = text.indexOf(" ")
  const denied = Number.parseInt(text, 10)
  const words = text.slice(blank + 1).split(" ")
  let retryAfterMs: number | null = 0
  const counters = charges.map((charge, index) => {
    const counter = counterOf(charge, words[index] ?? "0")
    if (index === denied || (refuses(charge.limit) && !hasRoom(counter, charge.amount))) {
      const wait = waitMs(counter, charge.amount)
      retryAfterMs = wait === null || retryAfterMs === null ? null : Math.max(wait, retryAfterMs)
    }
    return stateOf(counter)
  })
  return { kind: "denied", denied, counters, retryAfterMs }
}

/** Whether leases were due when a denial was answered. */
export function hasDueLeases(text: string): boolean {
  return text.charCodeAt(text.indexOf(",") + 1) === 0x31
}

/** A counter as the arithmetic of the in-process store knows it, drained to the moment of the answer. */
function counterOf(charge: Charge, word: string): Counter {
  const counter = newCounter(charge.limit, charge.limit.cap, charge.resetsAtMs, 0)
  const comma = word.indexOf(",")
  if (comma === -1) counter.debt = BigInt(word)
  else {
    counter.settled = BigInt(word.slice(0, comma))
    counter.held = BigInt(word.slice(comma + 1))
  }
  return counter
}
