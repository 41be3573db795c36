/** When a message that did not arrive is tried again. Pure. */

/** After which a message is given up. */
export const DELIVERY_MS_MAX = 24 * 3_600_000
/** An attempt that has not ended by then is taken to have died. */
export const LEASE_MS = 60_000

const FIRST_MS = 5_000
const LONGEST_MS = 3_600_000

/**
 * How long to wait after the `attempts`-th attempt failed, from 1 on: twice as long each time, up to an hour. `random`
 * from 0 up to 1 shortens it by up to a half, so that what failed together is not tried together.
 */
export function retryDelayMs(attempts: number, random: number): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempts - 1))
  return Math.round(full * (1 - random / 2))
}
