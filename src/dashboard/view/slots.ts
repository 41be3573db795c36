/**
 * Which colour a name has. A name takes the next free colour when it is first seen, and keeps it in this browser whatever
 * its rank and whatever range is shown; when none is free, the least used. The rest (`other`) has a colour of its own.
 */

const SLOTS = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10"] as const
const KEY = "tallygate.colours"
/** Names remembered of one dimension; after that the oldest are forgotten. */
const NAMES_MAX = 300

/** Name → slot, in the order in which names were first seen. */
export type SlotMemory = {
  readonly read: (dimension: string) => Readonly<Record<string, string>>
  readonly write: (dimension: string, slots: Readonly<Record<string, string>>) => void
}

/** A slot, `c1` to `c10`, for each name of this dimension. */
export function slotsOf(
  dimension: string,
  names: readonly string[],
  memory: SlotMemory = BROWSER,
): ReadonlyMap<string, string> {
  const known = new Map(Object.entries(memory.read(dimension)))
  const unknown = names.filter((name) => !known.has(name))
  for (const name of unknown) known.set(name, freest(known, names))
  if (unknown.length > 0) memory.write(dimension, Object.fromEntries([...known].slice(-NAMES_MAX)))
  return new Map(names.map((name) => [name, known.get(name) ?? SLOTS[0]]))
}

/** The slot that the fewest of the shown names have, and of those the one that the fewest names at all have. */
function freest(known: ReadonlyMap<string, string>, shown: readonly string[]): string {
  const uses = (slot: string, names: Iterable<string>) => [...names].filter((name) => known.get(name) === slot).length
  const ranked = SLOTS.map((slot) => ({ slot, here: uses(slot, shown), all: uses(slot, known.keys()) }))
  return ranked.reduce((best, one) =>
    one.here < best.here || (one.here === best.here && one.all < best.all) ? one : best,
  ).slot
}

const BROWSER: SlotMemory = {
  read: (dimension) => readAll()[dimension] ?? {},
  write: (dimension, slots) => {
    try {
      localStorage.setItem(KEY, JSON.stringify({ ...readAll(), [dimension]: slots }))
    } catch {
      // A browser that keeps nothing gives colours anew with each page.
    }
  },
}

function readAll(): Readonly<Record<string, Readonly<Record<string, string>>>> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}")
  } catch {
    return {}
  }
}
