/** Posting to addresses that users have given: what is never reached, and what becomes of receivers that misbehave. */
import { createHmac } from "node:crypto"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { guardedPost } from "../../src/alerts/guarded-post.ts"
import { isPrivateAddress } from "../../src/alerts/private-address.ts"
import { isSigningSecret, webhookHeaders } from "../../src/alerts/webhook-signature.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

let receiver: WebhookReceiver
beforeEach(async () => {
  receiver = await startWebhookReceiver()
})
afterEach(() => receiver.close())

const TIMEOUT_MS = 5_000
const post = (url: string, more: Partial<Parameters<typeof guardedPost>[3]> = {}) =>
  guardedPost(url, { "x-canary": "1" }, '{"a":1}', { allowPrivate: true, timeoutMs: TIMEOUT_MS, ...more })

describe("addresses that are not public", () => {
  test.each([
    ...["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"],
    ...["169.254.169.254", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0"],
    ...["fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1"],
    ...["2002:7f00:1::", "::127.0.0.1", "2001:db8::1"],
  ])("%s", (address) => expect(isPrivateAddress(address)).toBe(true))

  test.each(["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])(
    "%s is public",
    (address) => expect(isPrivateAddress(address)).toBe(false),
  )

  const port = () => new URL(receiver.url).port
  test.each(["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost", "127.1"])(
    "a URL with %s is refused without a connection",
    async (host) => {
      const outcome = await post(`http://${host}:${port()}/`, { allowPrivate: false })
      expect(outcome).toMatchObject({ kind: "refused", reason: expect.stringContaining("allow_private_targets") })
      expect(receiver.received).toEqual([])
    },
  )

  test("a name with one private address among public ones is refused", async () => {
    const resolve = async () => [
      { address: "1.1.1.1", family: 4 },
      { address: "10.0.0.5", family: 4 },
    ]
    expect((await post("http://rebinding.example/", { allowPrivate: false, resolve })).kind).toBe("refused")
  })

  test("the connection goes to the address that was looked at: the name is asked once", async () => {
    let asked = 0
    const resolve = async () => {
      asked++
      return [{ address: "127.0.0.1", family: 4 }]
    }
    const outcome = await post(`http://hooks.example:${port()}/path`, { resolve })
    expect(outcome).toEqual({ kind: "delivered" })
    expect(asked).toBe(1)
    expect(receiver.received[0]).toMatchObject({ path: "/path", headers: { host: `hooks.example:${port()}` } })
  })
})

describe("a receiver that", () => {
  test("answers 2xx has the message, as it was written", async () => {
    expect(await post(receiver.url)).toEqual({ kind: "delivered" })
    expect(receiver.received).toMatchObject([
      { body: '{"a":1}', headers: { "x-canary": "1", "content-type": "application/json" } },
    ])
  })

  test("fails is tried again, one that is gone is not", async () => {
    receiver.answer = (response) => response.writeHead(500).end("secret-of-the-receiver")
    expect(await post(receiver.url)).toEqual({ kind: "failed", reason: "the receiver answered 500" })
    receiver.answer = (response) => response.writeHead(410).end()
    expect(await post(receiver.url)).toMatchObject({ kind: "refused" })
  })

  test("redirects is not followed", async () => {
    receiver.answer = (response) => response.writeHead(307, { location: `${receiver.url}/elsewhere` }).end()
    expect(await post(receiver.url)).toMatchObject({ kind: "failed", reason: expect.stringContaining("redirect") })
    expect(receiver.received).toHaveLength(1)
  })

  test("hangs, before its answer or within it, is given up in time", async () => {
    receiver.answer = () => undefined
    expect(await post(receiver.url, { timeoutMs: 100 })).toEqual({ kind: "failed", reason: "no answer within 100 ms" })
    receiver.answer = (response) => void response.writeHead(200).write("x")
    expect(await post(receiver.url, { timeoutMs: 100 })).toEqual({ kind: "failed", reason: "no answer within 100 ms" })
    const resolve = () => new Promise<never>(() => undefined)
    expect((await post("http://silent.example/", { timeoutMs: 100, resolve })).kind).toBe("failed")
  })

  test("answers without end has the message, and is not listened to", async () => {
    receiver.answer = (response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(16_384)));
      }
      response.on("drain", more).on("error", () => undefined)
      more()
    }
    expect(await post(receiver.url)).toEqual({ kind: "delivered" })
  })

  test("is not there, or drops the connection, fails by a code that names no address", async () => {
    receiver.answer = (response) => response.destroy()
    expect(await post(receiver.url)).toEqual({
      kind: "failed",
      reason: "the receiver cannot be reached (ECONNRESET)",
    })
    await receiver.close()
    expect(await post(`${receiver.url}/token-canary`)).toEqual({
      kind: "failed",
      reason: "the receiver cannot be reached (ECONNREFUSED)",
    })
  })
})

describe("the signature", () => {
  test("is that of Standard Webhooks' own example", () => {
    // From the specification's reference libraries.
    const headers = webhookHeaders(
      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      1_614_265_330_000,
      '{"test": 2432232314}',
    )
    expect(headers).toEqual({
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    })
  })

  test("is checked by whoever has the secret", () => {
    const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`
    const { "webhook-signature": signature, "webhook-timestamp": time } = webhookHeaders(secret, "id", 5_999, "{}")
    const expected = createHmac("sha256", Buffer.alloc(32, 7)).update(`id.${time}.{}`).digest("base64")
    expect([time, signature]).toEqual(["5", `v1,${expected}`])
  })

  test("takes a secret of 24 to 64 bytes in base64, and nothing else", () => {
    const secret = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString("base64")}`
    expect([24, 32, 64].map((bytes) => isSigningSecret(secret(bytes)))).toEqual([true, true, true])
    const wrong = [secret(23), secret(65), "whsec_", "", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `${secret(32)} `]
    expect(wrong.filter(isSigningSecret)).toEqual([])
  })
})
