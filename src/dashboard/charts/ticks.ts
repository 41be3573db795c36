/** Where axes say something: three to five steps of 1, 2, 2.5 or 5 times a power of ten from zero; days that do not collide. */

const STEPS = [1, 2, 2.5, 5, 10]
const TICKS_MAX = 5

/** Ticks from 0 up to the first one at or above the largest value. */
export function ticksUpTo(largest: number): readonly number[] {
  if (!(largest > 0)) return [0, 1]
  const rough = largest / (TICKS_MAX - 1)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = (STEPS.find((candidate) => candidate * power >= rough) ?? 10) * power
  const count = Math.ceil(largest / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)))
}

/** Which of so many columns are named, where a name takes so many pixels. The first always is. */
export function namedColumns(columns: number, widthPx: number, namePx: number): readonly number[] {
  const fitting = Math.max(1, Math.ceil((columns * namePx) / Math.max(widthPx, 1)))
  const step = [1, 2, 5, 7, 10, 15, 30].find((candidate) => candidate >= fitting) ?? fitting
  return Array.from({ length: Math.ceil(columns / step) }, (_, index) => index * step)
}
