/**
 * Figures as people read them. Input is what the API gives: decimal strings and whole numbers. Nothing is added up here;
 * money is rounded for show alone, by its decimal text and never through a float.
 */

/** Between a figure and its unit, which never part at the end of a line. */
const SPACE = "\u00a0"
const MINUS = "\u2212"
const EPSILON_DECIMALS = 9

/** `$18,773.54`: two decimals, always; what is too little for them is not nothing. */
export function total(usd: string): string {
  return signed(usd, (digits) => {
    const shown = rounded(digits, 2)
    return isZero(shown) && !isZero(digits) ? "< $0.01" : `$${grouped(shown)}`
  })
}

/** A sum of costs; where nothing in it is known, that there is no price, and not that it cost nothing. */
export function spend(sums: { readonly cost_usd: string; readonly unpriced_records: string }): string {
  return isZero(sums.cost_usd) && !isZero(sums.unpriced_records) ? "No price" : total(sums.cost_usd)
}

/** A guess at money: `$25,500` with three significant digits, whole dollars from ten on. */
export function guess(usd: string): string {
  return signed(usd, (digits) => {
    const whole = (digits.split(".")[0] ?? "0").replace(/^0+(?=\d)/, "")
    const zeros = whole.length - GUESS_DIGITS
    if (whole.length === 1) return total(digits)
    if (zeros <= 0) return `$${grouped(rounded(digits, 0))}`
    return `$${grouped(rounded(`${whole.slice(0, -zeros)}.${whole.slice(-zeros)}`, 0) + "0".repeat(zeros))}`
  })
}
const GUESS_DIGITS = 3

/** One call's cost: four decimals below a dollar, three significant digits below a thousandth of one. */
export function cost(usd: string | null): string {
  if (usd === null) return "No price"
  if (isZero(usd)) return "$0.00"
  return signed(usd, (digits) => {
    const [whole = "0", fraction = ""] = digits.split(".")
    if (BigInt(whole) > 0n) return `$${grouped(rounded(digits, 2))}`
    const zeros = /^0*/.exec(fraction)?.[0].length ?? 0
    if (zeros < 3) return `$${rounded(digits, 4)}`
    if (zeros >= EPSILON_DECIMALS) return "< $0.000000001"
    return `$${rounded(digits, zeros + 3)}`
  })
}

/** To six decimals, up to twelve where the value has them. */
export function exact(usd: string): string {
  return signed(usd, (digits) => {
    const [whole = "0", fraction = ""] = digits.split(".")
    return `$${grouped(whole)}.${fraction.padEnd(6, "0")}`
  })
}

/** A rate: at least two decimals, and as many as it has. */
export function rate(usd: string): string {
  const [whole = "0", fraction = ""] = usd.split(".")
  return `$${grouped(whole)}.${fraction.padEnd(2, "0")}`
}

/** An axis label: no decimals from ten dollars on. */
export function axisMoney(value: number): string {
  if (value === 0) return "$0"
  if (value >= 10_000) return `$${Number((value / 1_000).toPrecision(3))}${SPACE}K`
  if (value >= 10) return `$${grouped(String(Math.round(value)))}`
  return `$${Number(value.toPrecision(3))}`
}

/** `0`, `2 M`, `4 M`. */
export function axisCount(value: number): string {
  return value < 1_000 ? String(Number(value.toPrecision(3))) : compact(String(Math.round(value)))
}

/** `0`, `200 ms`, `20 s`, `2 min`. */
export function axisDuration(ms: number): string {
  if (ms === 0) return "0"
  if (ms < 1_000) return `${ms}${SPACE}ms`
  return ms < 120_000 ? `${ms / 1_000}${SPACE}s` : `${Number((ms / 60_000).toPrecision(3))}${SPACE}min`
}

/** A count in full below ten million, else compact. */
export function count(whole: string | number): string {
  const digits = wholeDigits(whole)
  return digits.replace("-", "").length < 8 ? signed(digits, grouped) : compact(digits)
}

/** `1 request`, `1,204 requests`. */
export function counted(whole: string | number, word: string): string {
  return `${count(whole)} ${word}${String(whole) === "1" ? "" : "s"}`
}

/** Every digit, for hover and copy. */
export function fullCount(whole: string | number): string {
  return signed(wholeDigits(whole), grouped)
}

/** Three digits and K, M, B or T: `4.28 B`, `96.4 M`. In full below ten thousand. */
export function compact(whole: string | number): string {
  return signed(wholeDigits(whole), (digits) => {
    if (digits.length < 5) return grouped(digits)
    for (const [index, [unit, zeros]] of UNITS.entries()) {
      if (digits.length <= zeros) continue
      const text = (Number(digits) / 10 ** zeros).toPrecision(3)
      // 999,950 is 1.00 M and not 1.00e+3 K.
      return text.includes("e") ? `1.00${SPACE}${UNITS[index - 1]?.[0] ?? unit}` : `${text}${SPACE}${unit}`
    }
    return grouped(digits)
  })
}
const UNITS = [
  ["T", 12],
  ["B", 9],
  ["M", 6],
  ["K", 3],
] as const

/** `part` of `whole` as `35.1 %`; "–" of nothing. */
export function share(part: string, whole: string): string {
  const permille = ratio(part, whole)
  return permille === null ? "–" : `${permille.toFixed(1)} %`
}

/** `+10.7 %` against what was before; `new` where there was nothing, `12×` above 999 %. */
export function change(now: string, before: string): string {
  if (isZero(before)) return isZero(now) ? "0.0 %" : "new"
  const percent = (ratio(now, before) ?? 0) - 100
  if (percent > 999) return `${Math.round((percent + 100) / 100)}×`
  return `${sign(percent.toFixed(1))} %`
}

/** Per cent of two decimals, exact to a thousandth of one per cent; null where the whole is nothing. */
export function ratio(part: string, whole: string): number | null {
  const [above, below] = scaledAlike(part, whole)
  if (below === 0n) return null
  return Number((above * 100_000n) / below) / 1_000
}

/** `84 ms` below a second, `0.62 s`, `2 min 4 s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(2)} s`
  const seconds = Math.round(ms / 1_000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** Seconds throughout, for figures that stand beside each other: `0.62 s`. */
export function seconds(ms: number): string {
  return ms < 60_000 ? `${(ms / 1_000).toFixed(2)} s` : duration(ms)
}

/** True for 0, 0.00 and the like. */
export function isZero(decimal: string): boolean {
  return /^-?0*(\.0*)?$/.test(decimal)
}

/** A decimal as a number, for the length of a bar and nothing else. */
export function lengthOf(decimal: string): number {
  return Number(decimal)
}

function wholeDigits(whole: string | number): string {
  return typeof whole === "number" ? String(Math.trunc(whole)) : (whole.split(".")[0] ?? "0")
}

function signed(decimal: string, show: (digits: string) => string): string {
  return decimal.startsWith("-") ? `${MINUS}${show(decimal.slice(1))}` : show(decimal)
}

function sign(text: string): string {
  const isNothing = isZero(text)
  return text.startsWith("-") && !isNothing ? MINUS + text.slice(1) : `+${text.replace("-", "")}`
}

function grouped(digits: string): string {
  const [whole = "0", fraction] = digits.split(".")
  const withCommas = whole.replace(/^0+(?=\d)/, "").replace(/\B(?=(\d{3})+$)/g, ",")
  return fraction === undefined ? withCommas : `${withCommas}.${fraction}`
}

/** Half up, on the text. */
function rounded(digits: string, decimals: number): string {
  const [whole = "0", fraction = ""] = digits.split(".")
  const kept = BigInt(whole + fraction.padEnd(decimals, "0").slice(0, decimals))
  const next = fraction.charAt(decimals)
  const all = String(next >= "5" ? kept + 1n : kept).padStart(decimals + 1, "0")
  return decimals === 0 ? all : `${all.slice(0, -decimals)}.${all.slice(-decimals)}`
}

function scaledAlike(one: string, two: string): [bigint, bigint] {
  const decimals = Math.max(fractionOf(one).length, fractionOf(two).length)
  return [scaled(one, decimals), scaled(two, decimals)]
}

function fractionOf(decimal: string): string {
  return decimal.split(".")[1] ?? ""
}

function scaled(decimal: string, decimals: number): bigint {
  const [whole = "0"] = decimal.split(".")
  return BigInt(whole + fractionOf(decimal).padEnd(decimals, "0"))
}
