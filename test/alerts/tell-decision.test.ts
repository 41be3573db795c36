/** The decision against every history that could be: many alerts, in any order, at any distance from one another. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { decideTelling, type LastTold, QUIET_MS, type Raised } from "../../src/alerts/tell-decision.ts"

type Step = { readonly afterMs: number; readonly thresholds: readonly number[] }
type Message = { readonly atMs: number; readonly reason: Raised; readonly folded: readonly Raised[] }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.integer({ min: 0, max: 2 * QUIET_MS }), fc.constantFrom(0, 1, QUIET_MS - 1, QUIET_MS)),
    thresholds: fc.array(fc.constantFrom(0, 50, 80, 100), { maxLength: 3 }),
  }),
  { maxLength: 30 },
)

/** Plays alerts as they are raised, and decides at each step as a watch does. */
function play(history: readonly Step[]): { messages: Message[]; raised: Raised[]; untold: Raised[]; nowMs: number } {
  let [nowMs, last, counter]: [number, LastTold | null, number] = [0, null, 0]
  const messages: Message[] = []
  const raised: Raised[] = []
  let untold: Raised[] = []
  for (const { afterMs, thresholds } of history) {
    nowMs += afterMs
    const fresh = thresholds.map((threshold) => ({ id: String(counter++), threshold }))
    raised.push(...fresh)
    untold.push(...fresh)
    const decision = decideTelling(untold, last, nowMs)
    if (decision.kind === "wait") continue
    messages.push({ atMs: nowMs, reason: decision.reason, folded: decision.folded })
    last = { atMs: nowMs, threshold: decision.reason.threshold }
    untold = []
  }
  return { messages, raised, untold, nowMs }
}

test("two messages within a day are only about something worse", () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { messages } = play(history)
      for (const [index, message] of messages.entries()) {
        const before = messages[index - 1]
        if (before === undefined || message.atMs - before.atMs >= QUIET_MS) continue
        expect(message.reason.threshold).toBeGreaterThan(before.reason.threshold)
      }
    }),
  )
})

test("every alert is told in exactly one message, or still waits, and then no longer than the quiet time", () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { messages, raised, untold, nowMs } = play(history)
      const told = messages.flatMap(({ reason, folded }) => [reason, ...folded])
      expect([...told, ...untold].map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(raised.map((_, n) => n))
      const last = messages.at(-1)
      if (untold.length > 0) expect(last).toBeDefined()
      if (untold.length > 0 && last !== undefined) {
        expect(nowMs - last.atMs).toBeLessThan(QUIET_MS)
        expect(decideTelling(untold, { atMs: last.atMs, threshold: 1_000 }, last.atMs + QUIET_MS).kind).toBe("tell")
      }
    }),
  )
})

test("the first alert of a subject is told at once, and a higher threshold than the last message's too", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(50, 80), (history, threshold) => {
      const first = { id: "a", threshold }
      expect(decideTelling([first], null, 0)).toEqual({ kind: "tell", reason: first, folded: [] })
      const { messages, untold, nowMs } = play(history)
      const last = messages.at(-1)
      if (last === undefined) return
      const worse = { id: "worse", threshold: last.reason.threshold + 1 }
      const decision = decideTelling([...untold, worse], { atMs: last.atMs, threshold: last.reason.threshold }, nowMs)
      expect(decision).toEqual({ kind: "tell", reason: worse, folded: untold })
    }),
  )
})

test("the reason is the worst of what is untold, the newest of equals, and nothing untold is nothing told", () => {
  const [a, b, c] = [80, 80, 50].map((threshold, index) => ({ id: String(index), threshold })) as [
    Raised,
    Raised,
    Raised,
  ]
  expect(decideTelling([a, b, c], null, 0)).toEqual({ kind: "tell", reason: b, folded: [a, c] })
  expect(decideTelling([], null, 0)).toEqual({ kind: "wait" })
})
