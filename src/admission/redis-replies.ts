/** What `batch.lua` answers to an act, by its first letter; the twin of the list at the top of that file. */
import type { Charge, CounterState, ReserveReply, SettleReply } from "./limit-store.ts"
import { hasDueLeases, readDenial, readStates } from "./redis-charges.ts"

const HELD = "H"
const DENIED = "D"
const FAULT = "E"

const RESERVE_KINDS: Readonly<Record<string, "done" | "gone" | "recovering">> = {
  d: "done",
  g: "gone",
  R: "recovering",
}
const SETTLE_REPLIES: Readonly<Record<string, SettleReply>> = {
  s: "settled",
  l: "late",
  d: "done",
  u: "unknown",
  R: "recovering",
}

export function reserveReply(reply: string, charges: readonly Charge[]): ReserveReply {
  if (reply.startsWith(HELD)) return { kind: "held", counters: readStates(reply.slice(1), charges) }
  if (reply.startsWith(DENIED)) return readDenial(reply.slice(1), charges)
  const kind = RESERVE_KINDS[withoutFault(reply)]
  if (kind === undefined) throw new Error(`the limit store answered "${reply}" to a reservation`)
  return { kind }
}

export function settleReply(reply: string): SettleReply {
  const settled = SETTLE_REPLIES[withoutFault(reply)]
  if (settled === undefined) throw new Error(`the limit store answered "${reply}" to a settlement`)
  return settled
}

export function countersReply(reply: string, charges: readonly Charge[]): CounterState[] {
  if (!withoutFault(reply).startsWith(HELD)) throw new Error(`the limit store answered "${reply}" to a question`)
  return readStates(reply.slice(1), charges)
}

/** A denial while leases were due. */
export function isDenialToReview(reply: string): boolean {
  return reply.startsWith(DENIED) && hasDueLeases(reply)
}

/** The reply, unless it says that the act could not be carried out. */
export function withoutFault(reply: string): string {
  if (reply.startsWith(FAULT)) throw new Error(reply.slice(1))
  return reply
}

/** An assertion was carried out, now or before. Throws where the epoch has passed: it is then made again under the next. */
export function requireAsserted(reply: string): void {
  if (withoutFault(reply) === "R") throw new Error("the counters are being filled under another epoch")
}

/** A script's list of strings. */
export function texts(reply: unknown): string[] {
  if (!Array.isArray(reply)) throw new Error(`a script answered ${JSON.stringify(reply)}`)
  return reply.map((text) => String(text))
}
