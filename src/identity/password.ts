/**
 * Passwords: what one must be like, and how one is kept. scrypt with parameters that OWASP recommends; they stand in the
 * hash, so that they can be raised later. Hashing runs on threads that the rest of the process needs too, and takes
 * 32 MiB: one at a time, a bounded number waits, and who comes after that is told so.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto"

/** The names are scrypt's own: N is 2^ln. */
export type ScryptCost = { readonly ln: number; readonly r: number; readonly p: number }

const COST: ScryptCost = { ln: 15, r: 8, p: 3 }
const SALT_BYTES = 16
const HASH_BYTES = 32
/** Of parameters that were stored; beyond it a hash would take a gigabyte. */
const LN_MAX = 20

export const PASSWORD_LENGTH_MIN = 12
export const PASSWORD_LENGTH_MAX = 256
/** What is left of a password without the words that everybody tries first, and how varied it is, at least. */
const REST_LENGTH_MIN = 4
const DIFFERENT_MIN = 5
const COMMON_WORDS = [
  ...["password", "passwort", "qwertyuiop", "qwertzuiop", "qwerty", "qwertz", "asdfghjkl", "asdfgh", "zxcvbnm"],
  ...["letmein", "welcome", "iloveyou", "changeme", "secret", "admin", "login", "tallygate", "football", "baseball"],
  ...["monkey", "dragon", "sunshine", "princess", "superman", "trustno1", "1234567890", "0123456789", "123456789"],
  ...["987654321", "123456", "654321", "1234", "abcdefgh", "abcdef", "abc"],
]

/** Hashing has too many waiting for it; nothing was decided. */
export class PasswordsBusy extends Error {}

export class Passwords {
  readonly #waitingMax: number
  readonly #cost: ScryptCost
  #waiting = 0
  /** The end of the hashing before, however it ended. */
  #before: Promise<unknown> = Promise.resolve()
  /** A hash that no password is asked by. */
  #nobodysHash: Promise<string> | null = null

  /** `waitingMax`: how many may be hashed or wait for it at the same time. */
  constructor({ waitingMax, cost = COST }: { readonly waitingMax: number; readonly cost?: ScryptCost }) {
    this.#waitingMax = waitingMax
    this.#cost = cost
  }

  /** The password as it is stored. @throws PasswordsBusy */
  hash(password: string): Promise<string> {
    return this.#inTurn(() => hashOf(password, this.#cost))
  }

  /** Whether the password is the one that is stored; null, where none is, takes the same work. @throws PasswordsBusy */
  async verify(stored: string | null, password: string): Promise<boolean> {
    this.#nobodysHash ??= this.#inTurn(() => hashOf(randomBytes(SALT_BYTES).toString("base64url"), this.#cost))
    const asked = stored ?? (await this.#nobodysHash)
    const isRight = await this.#inTurn(() => matches(asked, password))
    return isRight && stored !== null
  }

  async #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#waiting >= this.#waitingMax) throw new PasswordsBusy("Too many passwords are being checked.")
    this.#waiting++
    const turn = this.#before.then(act)
    // Whoever waits for this one hears of its failure; the next one need not.
    this.#before = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }
}

/** What is wrong with a password for the user of this address ('' for none); null where nothing is. */
export function passwordFault(password: string, email: string): string | null {
  const text = normal(password)
  if (text.length < PASSWORD_LENGTH_MIN) return `must have at least ${PASSWORD_LENGTH_MIN} characters`
  if (text.length > PASSWORD_LENGTH_MAX) return `must have at most ${PASSWORD_LENGTH_MAX} characters`
  const lower = text.toLowerCase()
  const address = email.toLowerCase()
  const ownWords = [address, ...address.split(/[@.+_-]/)].filter((word) => word.length >= REST_LENGTH_MIN)
  const rest = [...ownWords, ...COMMON_WORDS].reduce((left, word) => left.replaceAll(word, ""), lower)
  if (rest.replace(/[^\p{L}\p{N}]/gu, "").length < REST_LENGTH_MIN) {
    return "must not be made of the e-mail address and of words that everybody tries first"
  }
  return new Set(lower).size < DIFFERENT_MIN ? `must have at least ${DIFFERENT_MIN} different characters` : null
}

async function hashOf(password: string, cost: ScryptCost): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, cost)
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${salt.toString("base64url")}$${hash.toString("base64url")}`
}

const STORED = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w-]+)\$([\w-]+)$/

/** @throws Error where what is stored is not a hash of ours */
async function matches(stored: string, password: string): Promise<boolean> {
  const [, ln, r, p, salt = "", hash = ""] = STORED.exec(stored) ?? []
  const [cost, wanted] = [{ ln: Number(ln), r: Number(r), p: Number(p) }, Buffer.from(hash, "base64url")]
  if (!(cost.ln <= LN_MAX) || wanted.length !== HASH_BYTES) throw new Error("A stored password is no hash of ours.")
  const given = await derive(password, Buffer.from(salt, "base64url"), cost)
  return timingSafeEqual(given, wanted)
}

function derive(password: string, salt: Buffer, { ln, r, p }: ScryptCost): Promise<Buffer> {
  const cost = 2 ** ln
  // Node's own bound is too low; what is needed is a little more than 128 × cost × r bytes.
  const options: ScryptOptions = { cost, blockSize: r, parallelization: p, maxmem: 256 * cost * r }
  return new Promise((resolve, reject) => {
    scrypt(normal(password), salt, HASH_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}

/** The same text however a keyboard composes it. */
function normal(password: string): string {
  return password.normalize("NFKC")
}
