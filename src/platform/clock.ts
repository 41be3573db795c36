/** Time as a dependency: everything that decides by time takes a clock, so that a test can own it. */
export type Clock = {
  /** Milliseconds since 1970-01-01 UTC. */
  nowMs(): number
}

export const systemClock: Clock = { nowMs: () => Date.now() }
