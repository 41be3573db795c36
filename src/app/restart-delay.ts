/** How long a worker that died stays away: longer each time it dies young, so that a fault at its start cannot spin. */

const SHORTEST_MS = 200
const LONGEST_MS = 10_000
/** A worker that lived this long is taken to be sound again. */
const SOUND_AFTER_MS = 60_000

/** `diedYoung` counts the deaths before this one, each after less than a minute. */
export function restartDelayMs(diedYoung: number): number {
  return Math.min(LONGEST_MS, SHORTEST_MS * 2 ** diedYoung)
}

export function hasDiedYoung(livedMs: number): boolean {
  return livedMs < SOUND_AFTER_MS
}
