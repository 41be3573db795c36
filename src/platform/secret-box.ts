/**
 * Encryption of secrets that are stored and must be readable again: AES-256-GCM with a random nonce, bound to the name of
 * what the secret belongs to, so that a row copied over another one does not open. A sealed secret names its key, so that
 * several keys can be in use while one takes the place of the other.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject, randomBytes } from "node:crypto"

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_DIGITS = 16

/** What an operator reads who has given no key, or a wrong one. */
export const ENCRYPTION_KEY_EXPECTED = "32 bytes in base64 or hex, as `openssl rand -base64 32` makes them"

export type EncryptionKey = {
  /** The beginning of a digest: tells keys apart and says nothing of them. */
  readonly id: string
  /** Shows nothing of itself where it is printed. */
  readonly secret: KeyObject
}

export type Sealed = {
  readonly keyId: string
  readonly nonce: Buffer
  /** With the tag at its end. */
  readonly ciphertext: Buffer
}

export type Opened =
  | { readonly kind: "opened"; readonly text: string }
  | { readonly kind: "unknown key"; readonly keyId: string }
  /** Changed since it was sealed, or sealed for something else. */
  | { readonly kind: "damaged" }

/** The key that a text says, in base64 or hex; null where it says none. */
export function readEncryptionKey(text: string): EncryptionKey | null {
  const trimmed = text.trim()
  const isHex = /^[0-9a-fA-F]{64}$/.test(trimmed)
  if (!isHex && !/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return null
  const bytes = Buffer.from(trimmed, isHex ? "hex" : "base64")
  if (bytes.length !== KEY_BYTES) return null
  const digest = createHash("sha256").update("tallygate encryption key\n").update(bytes).digest("hex")
  return { id: digest.slice(0, ID_DIGITS), secret: createSecretKey(bytes) }
}

/** A new key as a text. */
export function newEncryptionKey(): string {
  return randomBytes(KEY_BYTES).toString("base64")
}

export class SecretBox {
  /** Seals; null where secrets can only be opened, or not even that. */
  readonly current: EncryptionKey | null
  readonly #keys: ReadonlyMap<string, EncryptionKey>

  /** `others` open what was sealed before. */
  constructor(current: EncryptionKey | null, others: readonly EncryptionKey[] = []) {
    this.current = current
    this.#keys = new Map([...others, ...(current === null ? [] : [current])].map((key) => [key.id, key]))
  }

  /** @throws Error where there is no key to seal with */
  seal(text: string, owner: string): Sealed {
    if (this.current === null) throw new Error("There is no encryption key to seal with.")
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv("aes-256-gcm", this.current.secret, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(owner))
    const ciphertext = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()])
    return { keyId: this.current.id, nonce, ciphertext }
  }

  open({ keyId, nonce, ciphertext }: Sealed, owner: string): Opened {
    const key = this.#keys.get(keyId)
    if (key === undefined) return { kind: "unknown key", keyId }
    if (nonce.length !== NONCE_BYTES || ciphertext.length < TAG_BYTES) return { kind: "damaged" }
    const end = ciphertext.length - TAG_BYTES
    const decipher = createDecipheriv("aes-256-gcm", key.secret, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(owner))
    decipher.setAuthTag(ciphertext.subarray(end))
    try {
      const text = decipher.update(ciphertext.subarray(0, end), undefined, "utf8") + decipher.final("utf8")
      return { kind: "opened", text }
    } catch {
      // What does not bear its tag is refused without a reason.
      return { kind: "damaged" }
    }
  }
}
