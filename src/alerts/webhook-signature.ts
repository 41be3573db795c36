/**
 * The signature of a webhook as Standard Webhooks has it (https://www.standardwebhooks.com): HMAC-SHA256 under the secret
 * behind `whsec_`, over id, time and body, so that a receiver knows who sent a message, and that it is not an old one.
 */
import { createHmac } from "node:crypto"

const PREFIX = "whsec_"
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64

export const SIGNING_SECRET_EXPECTED = `whsec_ and ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes in base64`

export function isSigningSecret(text: string): boolean {
  const [, base64 = ""] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? []
  const bytes = Buffer.from(base64, "base64")
  return bytes.length >= SECRET_BYTES_MIN && bytes.length <= SECRET_BYTES_MAX && bytes.toString("base64") === base64
}

/** `id` is the same at each attempt; `nowMs` is the attempt's time. */
export function webhookHeaders(secret: string, id: string, nowMs: number, body: string): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1_000))
  const key = Buffer.from(secret.slice(PREFIX.length), "base64")
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` }
}
