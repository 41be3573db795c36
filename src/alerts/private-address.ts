/**
 * Which addresses are of this machine, its network or its cloud's own services. Whoever may make a channel must not
 * reach them through Tallygate, which often stands where such services trust whoever calls.
 */
import { BlockList, isIPv6 } from "node:net"

/** IANA's special-purpose ranges that are not for the open internet; 169.254/16 and fd00:ec2::254 hold clouds' metadata. */
const PRIVATE_V4 = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"],
  ...["192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  ...["224.0.0.0/4", "240.0.0.0/4"],
]
/** Those that carry an IPv4 address (NAT64, 6to4, Teredo) are refused whole, since it may be a private one. */
const PRIVATE_V6 = [
  ...["::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"],
  ...["5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
]

const privateAddresses = new BlockList()
for (const range of PRIVATE_V4) addRange(range, "ipv4")
for (const range of PRIVATE_V6) addRange(range, "ipv6")

function addRange(range: string, family: "ipv4" | "ipv6"): void {
  const [network = "", bits = ""] = range.split("/")
  privateAddresses.addSubnet(network, Number(bits), family)
}

/** True for what is no public address; an IPv4 address within an IPv6 one (`::ffff:10.0.0.1`) counts as itself. */
export function isPrivateAddress(address: string): boolean {
  return privateAddresses.check(address.replace(/%.*$/, ""), isIPv6(address) ? "ipv6" : "ipv4")
}
