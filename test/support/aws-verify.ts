/**
 * Checks an AWS signature as a server does: from the request as it arrived and the secret of the access key that it names,
 * by the steps of AWS's documentation ("Create a signed AWS API request") and by nothing of what signed it.
 */
import { createHash, createHmac } from "node:crypto"

export type Arrived = {
  readonly method: string
  /** With its query, as it was on the wire. */
  readonly path: string
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export type SignatureCheck = {
  /** What the request says was signed with, by whom, where and which of its headers. */
  readonly accessKeyId: string
  readonly region: string
  readonly service: string
  readonly signedHeaders: readonly string[]
  readonly stated: string
  /** What the secret makes of the request. */
  readonly computed: string
}

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/

export function checkSignature({ method, path, headers, body }: Arrived, secret: string): SignatureCheck {
  const header = (name: string) => String(headers[name] ?? "")
  const stated = AUTHORIZATION.exec(header("authorization"))
  if (stated === null) throw new Error(`no signature: ${header("authorization").slice(0, 40)}`)
  const [, accessKeyId = "", day = "", region = "", service = "", names = "", signature = ""] = stated
  const [resource = "", query = ""] = path.split("?")
  const signedHeaders = names.split(";")
  const canonical = [
    method,
    // Each segment as it arrived is encoded once more.
    resource.split("/").map(encoded).join("/"),
    query.split("&").sort().join("&"),
    ...signedHeaders.map((name) => `${name}:${header(name).trim().replace(/ +/g, " ")}`),
    "",
    names,
    sha256(body),
  ].join("\n")
  const scope = `${day}/${region}/${service}/aws4_request`
  const toSign = ["AWS4-HMAC-SHA256", header("x-amz-date"), scope, sha256(canonical)].join("\n")
  const key = [day, region, service, "aws4_request"].reduce<Buffer | string>(
    (before, part) => createHmac("sha256", before).update(part).digest(),
    `AWS4${secret}`,
  )
  const computed = createHmac("sha256", key).update(toSign).digest("hex")
  return { accessKeyId, region, service, signedHeaders, stated: signature, computed }
}

function encoded(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(data: Buffer | string): string {
  return createHash("sha256").update(data).digest("hex")
}
