/**
 * The credentials that Tallygate issues: `tg_<key id>_<secret><checksum>` for virtual keys, `tga_<secret><checksum>`
 * for admin keys, after GitHub's token format (prefix, 30+ random base62 characters, CRC-32 in base62). The checksum
 * lets typos and scanners' noise be refused without a query; only the SHA-256 of the whole text is stored.
 */
import { hash } from "node:crypto"
import { crc32 } from "node:zlib"
import { randomBase62, toBase62 } from "../platform/ids.ts"

const SECRET_LENGTH = 32
const CHECKSUM_LENGTH = 6
const VIRTUAL_KEY_SHAPE = /^tg_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/
const ADMIN_KEY_SHAPE = /^tga_[0-9A-Za-z]{38}$/

/** A new virtual key for the row `key_<id>`; shown once, never stored. */
export function mintVirtualKey(keyId: string): string {
  return withChecksum(`tg_${keyId.slice("key_".length)}_${randomBase62(SECRET_LENGTH)}`)
}

/** A new admin key; shown once, never stored. */
export function mintAdminKey(): string {
  return withChecksum(`tga_${randomBase62(SECRET_LENGTH)}`)
}

/** What is wrong with a presented virtual key before any query; null when it may exist. */
export function virtualKeyFault(text: string): string | null {
  if (VIRTUAL_KEY_SHAPE.test(text)) {
    return text.endsWith(checksum(text.slice(0, -CHECKSUM_LENGTH))) ? null : "its checksum is wrong (a typo or a cut?)"
  }
  if (text.startsWith("tga_")) return "it is an admin key; model calls take a virtual key (tg_…)"
  if (text.startsWith("sk-")) return "it is a provider's key; model calls take a Tallygate virtual key (tg_…)"
  return "it does not have the form tg_…"
}

/** True where the text has the form and checksum of an admin key minted here. */
export function isAdminKeyShaped(text: string): boolean {
  return ADMIN_KEY_SHAPE.test(text) && text.endsWith(checksum(text.slice(0, -CHECKSUM_LENGTH)))
}

/** SHA-256 of a credential, in hex: the look-up key, so that comparing takes the same time for every guess. */
export function secretDigest(text: string): string {
  return hash("sha256", text, "hex")
}

function withChecksum(body: string): string {
  return body + checksum(body)
}

function checksum(body: string): string {
  return toBase62(crc32(body), CHECKSUM_LENGTH)
}
