/**
 * Where limits stand at this moment, by the store that counts them: what is settled, and what running calls hold. Where
 * that store does not answer, by the ledger, which knows nothing of running calls.
 */
import { z } from "@hono/zod-openapi"
import type { LimitReadings } from "../admission/limit-store.ts"
import { chargesFor, counterKind } from "../admission/limits.ts"
import { statedBound } from "../admission/stated-bound.ts"
import { readSubject } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { limitStandings } from "../reporting/limit-standings.ts"
import { shownCap } from "./limit-shape.ts"

export type Counters = {
  readonly readings: LimitReadings
  /** The store that counts is another process, which can be away. */
  readonly isShared: boolean
}

export type LiveStanding = {
  /** With the cap in force. */
  readonly limit: Limit
  /** In the limit's unit, of a rate what has not drained; null where that is not known, or several are counted apart. */
  readonly settled: bigint | null
  readonly held: bigint | null
  /** Never below 0. */
  readonly remaining: bigint | null
  /** Epoch milliseconds: when its window ends, or a rate is empty; null where neither comes by itself. */
  readonly resetsAtMs: number | null
  readonly countedBy: "store" | "ledger"
}

/** People look at these, so that a store that is silent for so long counts as away. */
const READ_MS_MAX = 1_000
const NOTHING = { requests: 0n, tokensBound: 0n, tokensLikely: 0n, costNanosBound: 0n }

export type LiveLimits = {
  readonly sql: Sql
  readonly log: Pick<Log, "warn">
  readonly counters: Counters
}

/** In the order of the limits given. */
export async function liveStandings(
  { sql, log, counters }: LiveLimits,
  limits: readonly Limit[],
  nowMs: number,
): Promise<readonly LiveStanding[]> {
  const ledger = await limitStandings(sql, limits, nowMs)
  const live = await readLive(counters, log, limits.filter(isOneCounter), nowMs)
  return ledger.map(({ limit, used, remaining, resetsAtMs }, index) => {
    const counter = live.get(limits[index] ?? limit)
    if (counter === undefined) {
      return { limit, settled: used, held: null, remaining, resetsAtMs, countedBy: "ledger" }
    }
    const { settled, held, emptyInMs } = counter
    const left = limit.cap - settled - held
    const atMs = resetsAtMs ?? (counterKind(limit) === "rate" && emptyInMs !== null ? nowMs + emptyInMs : null)
    return { limit, settled, held, remaining: left > 0n ? left : 0n, resetsAtMs: atMs, countedBy: "store" }
  })
}

/** A limit that counts several apart has a counter for each of them. */
function isOneCounter({ each, subject }: Limit): boolean {
  return each === "" || readSubject(subject).counted !== ""
}

async function readLive({ readings }: Counters, log: Pick<Log, "warn">, limits: readonly Limit[], nowMs: number) {
  const byPlace = Map.groupBy(limits, ({ organizationId }) => organizationId)
  const found = new Map<Limit, Awaited<ReturnType<LimitReadings["read"]>>[number]>()
  try {
    for (const some of byPlace.values()) {
      const states = await inTime(readings.read(chargesFor(some, NOTHING, nowMs)), READ_MS_MAX)
      some.forEach((limit, index) => {
        const state = states[index]
        if (state !== undefined) found.set(limit, state)
      })
    }
  } catch (err) {
    log.warn({ err }, "limits are shown by the ledger: the store that counts them does not answer")
    return new Map()
  }
  return found
}

/** Members of a limit that say where it stands. */
export const standingMembers = {
  settled: z
    .string()
    .nullable()
    .openapi({ description: "Used by calls that have ended, of a rate what has not drained; null: not known." }),
  held: z.string().nullable().openapi({
    description: "What running calls hold; null: the store that counts does not answer, or counts several apart.",
  }),
  remaining: z.string().nullable().openapi({ description: "Of the cap, without what is settled and held." }),
  resets_at: z
    .string()
    .nullable()
    .openapi({ description: "When the window ends, or a rate is empty; null: it does not by itself." }),
  stated_bound: z
    .object({
      at_most: z.string().nullable().openapi({ description: "Beyond the cap, in its unit; null: no figure." }),
      reasons: z.array(z.enum(["enforcement", "store_failure", "unbounded", "likely"])),
    })
    .openapi({ description: "By how much a window can be overspent, and what of the limit's settings allows it." }),
}

const standingOutput = z.object(standingMembers)

export function shownLive(
  { limit, settled, held, remaining, resetsAtMs }: LiveStanding,
  { isShared }: Counters,
): z.infer<typeof standingOutput> {
  const amount = (value: bigint | null) => (value === null ? null : shownCap(limit.kind, value))
  const { atMost, reasons } = statedBound(limit, isShared)
  return {
    settled: amount(settled),
    held: amount(held),
    remaining: amount(remaining),
    resets_at: resetsAtMs === null ? null : new Date(resetsAtMs).toISOString(),
    stated_bound: { at_most: amount(atMost), reasons: [...reasons] },
  }
}
