/**
 * Posts JSON to an address that a user has given. The name is resolved here, a private address refused, and the connection
 * made to the very address that was looked at, so that a second answer of the name's server changes nothing. Redirects
 * are not followed. Time and the answer are bounded. What fails is said in words that name neither address nor secret.
 */
import type { LookupAddress } from "node:dns"
import { lookup } from "node:dns/promises"
import { request as httpRequest, type IncomingMessage } from "node:http"
import { request as httpsRequest } from "node:https"
import { isIP, type LookupFunction } from "node:net"
import type { SendOutcome } from "./deliveries.ts"
import { isPrivateAddress } from "./private-address.ts"

const ANSWER_BYTES_MAX = 64 * 1024
const GONE = 410

export type PostOptions = {
  readonly allowPrivate: boolean
  /** Of all of it, in milliseconds. */
  readonly timeoutMs: number
  /** All addresses of a name. */
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>
}

export async function guardedPost(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  options: PostOptions,
): Promise<SendOutcome> {
  const signal = AbortSignal.timeout(options.timeoutMs)
  try {
    const target = new URL(url)
    const address = await checkedAddress(target, options, signal)
    if (address === null) {
      const reason =
        "the address is private, of this machine or of its network; alerts.allow_private_targets permits it"
      return { kind: "refused", reason }
    }
    return outcomeOf(await post(target, address, { ...headers, "content-type": "application/json" }, body, signal))
  } catch (error) {
    return { kind: "failed", reason: signal.aborted ? `no answer within ${options.timeoutMs} ms` : faultOf(error) }
  }
}

/** The first address of the host, where all are permitted: a name with one private address is not to be trusted. */
async function checkedAddress(
  { hostname }: URL,
  { allowPrivate, resolve = resolveAll }: PostOptions,
  signal: AbortSignal,
): Promise<LookupAddress | null> {
  const host = hostname.replace(/^\[|\]$/g, "")
  const family = isIP(host)
  const addresses = family === 0 ? await unlessAborted(resolve(host), signal) : [{ address: host, family }]
  if (!allowPrivate && addresses.some(({ address }) => isPrivateAddress(address))) return null
  const [first] = addresses
  if (first === undefined) throw new Error("the name has no address")
  return first
}

function resolveAll(host: string): Promise<LookupAddress[]> {
  return lookup(host, { all: true })
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    promise.then(resolve, reject)
  })
}

/** Resolves with the status once the answer was read to its end, or to its bound. */
function post(
  target: URL,
  address: LookupAddress,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<number> {
  const request = target.protocol === "https:" ? httpsRequest : httpRequest
  // Asked for one address or for all, depending on how Node connects.
  const lookupChecked: LookupFunction = (_host, { all }, done) => {
    if (all) done(null, [address])
    else done(null, address.address, address.family)
  }
  const length = String(Buffer.byteLength(body))
  return new Promise((resolve, reject) => {
    const call = request(target, {
      method: "POST",
      headers: { ...headers, "content-length": length, "user-agent": "tallygate-alerts" },
      lookup: lookupChecked,
      // A connection of its own: no pool that another channel's address could come out of.
      agent: false,
      signal,
    })
    call.on("response", (answer) => readToEnd(answer).then(() => resolve(answer.statusCode ?? 0), reject))
    call.on("error", reject)
    call.end(body)
  })
}

async function readToEnd(answer: IncomingMessage): Promise<void> {
  let bytes = 0
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length
    // The status has said it all.
    if (bytes > ANSWER_BYTES_MAX) break
  }
  answer.destroy()
}

function outcomeOf(status: number): SendOutcome {
  if (status >= 200 && status < 300) return { kind: "delivered" }
  if (status === GONE) return { kind: "refused", reason: "the receiver answered 410: it wants no more messages" }
  if (status >= 300 && status < 400) {
    return { kind: "failed", reason: `the receiver answered ${status}, a redirect, which is not followed` }
  }
  return { kind: "failed", reason: `the receiver answered ${status}` }
}

/** The code of an error of the network; its message may hold the address. */
function faultOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  return /^[A-Z][A-Z0-9_]{1,60}$/.test(code)
    ? `the receiver cannot be reached (${code})`
    : "the receiver cannot be reached"
}
