/**
 * Guessing is slowed down, over all processes: by the account that is guessed at, and by the address that guesses come
 * from. An attempt counts as failed before it is looked at, so that a hundred at once are not a hundred free ones, and
 * no longer when it was right. The first failures cost nothing, each further one doubles the wait up to a bound: nobody
 * is locked out for good, and of one address's guesses an account sees few. Accounts stand as digests, since what is
 * typed in place of an address may be a password.
 */
import { isIP } from "node:net"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { secretDigest } from "./secret.ts"

/** How many failures are free, and for how long the wait grows at most. */
const OF_ACCOUNT = { freeMax: 5, waitSecondsMax: 60 }
const OF_ADDRESS = { freeMax: 30, waitSecondsMax: 900 }
/** After this long without a failure they are forgotten. */
const FORGOTTEN_SECONDS = 3_600
const FORGOTTEN_ROWS_MAX = 1_000
/** Groups of 16 bits in an IPv6 address, and those of its network. */
const GROUPS = 8
const NETWORK_GROUPS = 4

type Allowance = typeof OF_ACCOUNT

/** `account`: what the attempt says who it is, null where it names nobody that could be guessed at. */
export type Attempt = { readonly account: string | null; readonly ip: string }

export type Attempted =
  | { readonly kind: "allowed" }
  /** Nothing was counted. */
  | { readonly kind: "refused"; readonly retryAfterSeconds: number }

/** To be asked before each attempt; `succeeded` is to be told where it was right. */
export async function attempted(sql: Sql, attempt: Attempt): Promise<Attempted> {
  await forget(sql)
  try {
    return await sql.begin(async (transaction): Promise<Attempted> => {
      // Always in this order, so that attempts never wait for one another crosswise.
      await count(transaction, addressSubject(attempt), OF_ADDRESS)
      if (attempt.account !== null) await count(transaction, accountSubject(attempt.account), OF_ACCOUNT)
      return { kind: "allowed" }
    })
  } catch (error) {
    // Thrown, so that the attempt is counted on neither side.
    if (error instanceof TooMany) return { kind: "refused", retryAfterSeconds: error.waitSeconds }
    throw error
  }
}

/** The attempt was right: the account begins anew, the address loses what the attempt had cost it. */
export async function succeeded(sql: Sql, attempt: Attempt): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`
      UPDATE login_failures SET failures = failures - 1 WHERE subject = ${addressSubject(attempt)} AND failures > 0`
    if (attempt.account !== null) {
      await transaction`DELETE FROM login_failures WHERE subject = ${accountSubject(attempt.account)}`
    }
  })
}

class TooMany extends Error {
  readonly waitSeconds: number

  constructor(waitSeconds: number) {
    super("too many attempts")
    this.waitSeconds = waitSeconds
  }
}

async function count(transaction: Transaction, subject: string, { freeMax, waitSecondsMax }: Allowance): Promise<void> {
  // The row is locked by its reading, whether or not it was there.
  const [row] = await transaction<{ failures: number; passed: number }[]>`
    INSERT INTO login_failures AS f (subject, failures, last_at) VALUES (${subject}, 0, clock_timestamp())
    ON CONFLICT (subject) DO UPDATE SET failures = f.failures
    RETURNING failures, extract(epoch FROM clock_timestamp() - last_at)::float8 AS passed`
  const { failures = 0, passed = 0 } = row ?? {}
  const known = passed > FORGOTTEN_SECONDS ? 0 : failures
  const waitSeconds = known < freeMax ? 0 : Math.min(2 ** (known - freeMax), waitSecondsMax)
  if (passed < waitSeconds) throw new TooMany(Math.ceil(waitSeconds - passed))
  await transaction`
    UPDATE login_failures SET failures = ${known + 1}, last_at = clock_timestamp() WHERE subject = ${subject}`
}

async function forget(sql: Sql): Promise<void> {
  await sql`
    DELETE FROM login_failures WHERE subject IN (
      SELECT subject FROM login_failures WHERE last_at < now() - make_interval(secs => ${FORGOTTEN_SECONDS})
      LIMIT ${FORGOTTEN_ROWS_MAX} FOR UPDATE SKIP LOCKED)`
}

function accountSubject(account: string): string {
  return `account ${secretDigest(account.toLowerCase())}`
}

function addressSubject({ ip }: Attempt): string {
  return `address ${networkOf(ip)}`
}

/** An IPv4 address as it is; of an IPv6 address its /64, since whoever has one has them all. */
export function networkOf(ip: string): string {
  const [address = ""] = ip.split("%")
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (isIP(address) !== 6 || mapped !== undefined) return mapped ?? address
  const [head = "", tail = ""] = address.split("::")
  const groupsOf = (part: string) => (part === "" ? [] : part.split(":"))
  const [before, after] = [groupsOf(head), groupsOf(tail)]
  const zeros = Array<string>(Math.max(0, GROUPS - before.length - after.length)).fill("0")
  return `${[...before, ...zeros, ...after].slice(0, NETWORK_GROUPS).join(":")}::/64`
}
