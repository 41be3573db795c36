/** From which addresses a key may be used: single IPv4 and IPv6 addresses, and ranges in CIDR notation. */
import { BlockList, isIP } from "node:net"

type Family = "ipv4" | "ipv6"
type Address = { readonly text: string; readonly family: Family }
type Range = { readonly address: Address; readonly bits: number }
/** One list for each family: a list of both would find an IPv4 address in `::/0`. */
type Compiled = { readonly [Of in Family]: BlockList }

const BITS = { ipv4: 32, ipv6: 128 } as const satisfies Record<Family, number>
/** An IPv4 address as IPv6 writes it is `::ffff:` and the address: 96 bits, then 32. */
const MAPPED_BITS = 96
const PREFIX = /^(0|[1-9]\d{0,2})$/

const compiledLists = new WeakMap<readonly string[], Compiled>()

/**
 * True where the address stands in one of the ranges, or there are none to stand in. An IPv4 address that came mapped
 * into IPv6 (`::ffff:10.0.0.1`) counts as IPv4. What is no address, as of a connection that is gone, is in no range.
 */
export function isIpAllowed(ranges: readonly string[] | null, address: string): boolean {
  if (ranges === null) return true
  const known = readAddress(withoutZone(address))
  if (known === null) return false
  let lists = compiledLists.get(ranges)
  if (lists === undefined) {
    lists = compile(ranges)
    compiledLists.set(ranges, lists)
  }
  return lists[known.family].check(known.text, known.family)
}

/** What is wrong with a range as an admin writes it; null where nothing is. Bits behind the prefix are not looked at. */
export function ipRangeFault(text: string): string | null {
  return readRange(text) === null
    ? "must be an IPv4 or IPv6 address, alone or as a range with a prefix length, such as 192.0.2.0/24 or 2001:db8::/32"
    : null
}

function compile(ranges: readonly string[]): Compiled {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of ranges) {
    const range = readRange(text)
    // Whatever cannot be read lets nobody in.
    if (range === null) continue
    const { address, bits } = range
    lists[address.family].addSubnet(address.text, bits, address.family)
  }
  return lists
}

function readRange(text: string): Range | null {
  const slash = text.indexOf("/")
  const written = slash === -1 ? text : text.slice(0, slash)
  const address = written.includes("%") ? null : readAddress(written)
  if (address === null) return null
  if (slash === -1) return { address, bits: BITS[address.family] }
  const prefix = text.slice(slash + 1)
  if (!PREFIX.test(prefix)) return null
  // The prefix of a mapped address counts the bits of the mapping; one that cuts into them means no IPv4 range.
  const bits = Number(prefix) - (address.family === "ipv4" && written.includes(":") ? MAPPED_BITS : 0)
  return bits < 0 || bits > BITS[address.family] ? null : { address, bits }
}

/** The address, as IPv4 wherever it is one; null where the text is none. */
function readAddress(text: string): Address | null {
  const version = isIP(text)
  if (version === 0) return null
  if (version === 4) return { text, family: "ipv4" }
  const mapped = mappedAddress(text)
  return mapped === null ? { text, family: "ipv6" } : { text: mapped, family: "ipv4" }
}

/** The IPv4 address that a valid IPv6 address carries, however it is written; null where it carries none. */
function mappedAddress(text: string): string | null {
  // The one normal form, with the last 32 bits as two hexadecimal groups.
  const [, high, low] = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(new URL(`http://[${text}]`).hostname) ?? []
  if (high === undefined || low === undefined) return null
  const bits = Number.parseInt(high, 16) * 0x10000 + Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join(".")
}

/** `fe80::1%eth0` names the interface that it was met on; ranges do not. */
function withoutZone(address: string): string {
  const zone = address.indexOf("%")
  return zone === -1 ? address : address.slice(0, zone)
}
