/**
 * Signs requests to Amazon Bedrock with access keys (AWS Signature Version 4). Signed are the host, the type and length of
 * the body, the time and the session token; the body by its digest. The secret itself does not travel. (AWS, "Signature
 * Version 4 signing process".)
 */
import aws4 from "aws4"
import type { AwsKeys } from "../identity/provider-account.ts"
import type { Provider, ProviderAccount } from "./router.ts"

const SERVICE = "bedrock"
/** `bedrock-runtime.eu-central-1.amazonaws.com`, with FIPS and at an interface endpoint as well. */
const HOST_REGION = /(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d+)\./

export type SignableRequest = {
  readonly method: string
  readonly path: string
  /** Names in lower case and values in turn. */
  readonly headers: readonly string[]
  readonly body: Buffer | null
}

export type Signed = {
  /** As it has to go on the wire. */
  readonly path: string
  /** The request's headers and those of the signature, names and values in turn. */
  readonly headers: string[]
}

/** The region that an address is in; null where it does not say. */
export function regionOfHost(baseUrl: string): string | null {
  return HOST_REGION.exec(new URL(baseUrl).hostname)?.[1] ?? null
}

/** What access keys make of a request; null for an account without any. `atMs` is epoch milliseconds. */
export function signedFor(
  { baseUrl, origin }: Pick<Provider, "baseUrl" | "origin">,
  { secret, region }: Pick<ProviderAccount, "secret" | "region">,
  request: SignableRequest,
  atMs: number,
): Signed | null {
  if (secret === null || typeof secret === "string") return null
  return signedRequest(request, secret, { host: new URL(origin).host, region: regionOfHost(baseUrl) ?? region, atMs })
}

/** `atMs` is epoch milliseconds. */
export function signedRequest(
  request: SignableRequest,
  keys: AwsKeys,
  { host, region, atMs }: { readonly host: string; readonly region: string; readonly atMs: number },
): Signed {
  // The colon in a model's name is escaped, as AWS's own SDKs send it: what is signed is the escaped path.
  const query = request.path.indexOf("?")
  const plain = query < 0 ? request.path : request.path.slice(0, query)
  const path = plain.replaceAll(":", "%3A") + request.path.slice(plain.length)
  const type = request.headers.indexOf("content-type")
  const { headers: signed = {} } = aws4.sign(
    {
      ...{ host, path, service: SERVICE, region },
      method: request.method,
      body: request.body ?? "",
      headers: {
        host,
        // Left out, it would be signed as that of a form.
        "content-type": type < 0 ? "application/json" : (request.headers[type + 1] ?? ""),
        "x-amz-date": new Date(atMs).toISOString().replace(/[:-]|\.\d+/g, ""),
      },
    },
    {
      accessKeyId: keys.accessKeyId,
      secretAccessKey: keys.secretAccessKey,
      ...(keys.sessionToken === null ? {} : { sessionToken: keys.sessionToken }),
    },
  )
  const headers = [...request.headers]
  if (type < 0) headers.push("content-type", "application/json")
  for (const [name, value] of Object.entries(signed)) {
    const lower = name.toLowerCase()
    // These two are written by whoever frames the message.
    if (lower !== "host" && lower !== "content-length" && lower !== "content-type") headers.push(lower, String(value))
  }
  return { path, headers }
}
