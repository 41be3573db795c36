/**
 * Money as whole pico-dollars (1e-12 USD) in a bigint: what a cost is computed in, and what `NUMERIC(24,12)` stores
 * without loss. Limit counters hold nano-dollars, each charge rounded up. No float ever holds money.
 */

/** Fraction digits of the ledger's NUMERIC(24,12). */
const DECIMALS = 12
const INTEGER_DIGITS_MAX = 12
export const PICOS_PER_USD = 10n ** BigInt(DECIMALS)
export const PICOS_PER_NANO = 1_000n
const ZERO = 0x30

const DECIMAL = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?$/
/** Sign, digits, point, digits; anything longer is refused before it is looked at. */
const TEXT_LENGTH_MAX = 1 + INTEGER_DIGITS_MAX + 1 + DECIMALS

export type ParsedUsd =
  | { readonly kind: "parsed"; readonly picos: bigint }
  | { readonly kind: "invalid"; readonly reason: string }

/**
 * Reads dollars written as a plain decimal (`12`, `0.0025`, `-3.5`). Exponents, signs other than a leading minus,
 * leading zeros and more than 12 digits on either side of the point are refused, so that nothing is ever rounded.
 */
export function parseUsd(text: string): ParsedUsd {
  if (text.length > TEXT_LENGTH_MAX) {
    return {
      kind: "invalid",
      reason: `a decimal with at most ${INTEGER_DIGITS_MAX} digits before and ${DECIMALS} after the point`,
    }
  }
  const [, sign, whole, fraction = ""] = DECIMAL.exec(text) ?? []
  if (whole === undefined) return { kind: "invalid", reason: "a plain decimal number such as 2.5, without exponent" }
  if (whole.length > INTEGER_DIGITS_MAX) {
    return { kind: "invalid", reason: `at most ${INTEGER_DIGITS_MAX} digits before the point` }
  }
  if (fraction.length > DECIMALS) return { kind: "invalid", reason: `at most ${DECIMALS} digits after the point` }
  const picos = BigInt(whole) * PICOS_PER_USD + BigInt(fraction.padEnd(DECIMALS, "0"))
  return { kind: "parsed", picos: sign === "-" ? -picos : picos }
}

/** Dollars as the shortest exact decimal: `0.0075`, `3`, `-0.000000000001`; never an exponent. */
export function formatUsd(picos: bigint): string {
  const digits = (picos < 0n ? -picos : picos).toString().padStart(DECIMALS + 1, "0")
  const point = digits.length - DECIMALS
  let end = digits.length
  while (end > point && digits.charCodeAt(end - 1) === ZERO) end--
  const amount = end === point ? digits.slice(0, point) : `${digits.slice(0, point)}.${digits.slice(point, end)}`
  return picos < 0n ? `-${amount}` : amount
}

/** The smallest whole number of nano-dollars that is not less than the amount: what a usd limit is charged. */
export function nanosRoundedUp(picos: bigint): bigint {
  // Bigint division cuts towards zero, which is already upwards for negative amounts.
  return picos > 0n ? (picos + PICOS_PER_NANO - 1n) / PICOS_PER_NANO : picos / PICOS_PER_NANO
}

/** `count × rate ÷ per`, to the nearest pico, halves up. All arguments are non-negative. */
export function proRata(count: bigint, ratePicos: bigint, per: bigint): bigint {
  return (count * ratePicos * 2n + per) / (per * 2n)
}
