/** The main listener over TLS, with the control plane beside it in plain HTTP; certificates are made on the spot. */
import { X509Certificate } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:https"
import { connect as connectPlain } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls"
import OpenAI, { type ClientOptions } from "openai"
import { Agent } from "undici"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { selfSigned } from "../support/self-signed.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

const MESSAGES = [{ role: "user" as const, content: "Say something about metering." }]
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-tls-"))
const first = selfSigned(folder)
let upstream: FakeUpstream
let app: TestApp
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  const tls = `tls: { cert_file: ${first.certFile}, key_file: ${first.keyFile} }`
  const more = `listen: { ${tls} }\nlisteners: { admin: { port: 0 }, metrics: { port: 0, ${tls} } }`
  app = await startTestApp(openAiConfig(upstream.baseUrl, more))
  key = (await app.createKey()).key
})
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function sdk(ca: string): OpenAI {
  // Node's own fetch takes undici's agents, whatever its declarations say.
  const fetchOptions = { dispatcher: new Agent({ connect: { ca } }) } as NonNullable<ClientOptions["fetchOptions"]>
  return new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0, fetchOptions })
}

/** A handshake, and the socket that came of it. */
async function shakeHands(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port: app.port, rejectUnauthorized: false, ...options })
  await once(socket, "secureConnect")
  return socket
}

/** The certificate that a new connection is greeted with. */
async function greetedWith(): Promise<string> {
  const socket = await shakeHands({})
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

/** What a connection that is open already answers. */
async function healthOver(socket: TLSSocket): Promise<string> {
  socket.write("GET /healthz HTTP/1.1\r\nhost: tallygate\r\n\r\n")
  const [data] = await once(socket, "data")
  return String(data)
}

function metricsPage(ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(`${app.app.metricsUrl}/metrics`, { ca, agent: false }, (incoming) => {
      let text = ""
      incoming.setEncoding("utf8").on("data", (part) => {
        text += part
      })
      incoming.on("end", () => resolve(text))
    })
      .on("error", reject)
      .end()
  })
}

/** What `/readyz` says of the certificates, once it is that. */
async function tlsState(expected: string): Promise<void> {
  await until(async () => {
    const ready = await fetch(`${app.app.adminUrl}/readyz`)
    const { tls } = (await ready.json()) as { tls: string }
    return ready.status === 200 && tls === expected ? true : undefined
  })
}

describe("over TLS", () => {
  test("the official OpenAI SDK is answered, plain and streaming", async () => {
    expect(app.url).toBe(`https://127.0.0.1:${app.port}`)
    const client = sdk(first.cert)
    const answer = await client.chat.completions.create({ model: "gpt-4o-mini-o7", messages: MESSAGES })
    expect(answer.usage?.completion_tokens).toBe(7)
    const stream = await client.chat.completions.create({ model: "gpt-4o-mini-c20", messages: MESSAGES, stream: true })
    let text = ""
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ""
    expect(text).not.toBe("")
    await app.records(2)
  })

  test("a caller that does not trust the certificate sends nothing", async () => {
    const before = upstream.requests.length
    const { cert } = selfSigned(mkdtempSync(path.join(folder, "other-")))
    await expect(sdk(cert).models.list()).rejects.toThrow()
    expect(upstream.requests.length).toBe(before)
  })

  test("TLS 1.2 and 1.3 are spoken, and nothing older", async () => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const socket = await shakeHands({ minVersion: version, maxVersion: version })
      expect(socket.getProtocol()).toBe(version)
      socket.destroy()
    }
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const
    await expect(shakeHands(old)).rejects.toThrow(/protocol version|unsupported protocol|handshake failure/i)
  })

  test("HTTP/1.1 is agreed on, and HTTP/2 alone is refused", async () => {
    const socket = await shakeHands({ ALPNProtocols: ["h2", "http/1.1"] })
    expect(socket.alpnProtocol).toBe("http/1.1")
    socket.destroy()
    await expect(shakeHands({ ALPNProtocols: ["h2"] })).rejects.toThrow()
  })

  test("plain HTTP on that port is no call", async () => {
    const socket = connectPlain(app.port, "127.0.0.1")
    socket.write(`GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n\r\n`)
    let told = ""
    socket.setEncoding("latin1").on("data", (text) => {
      told += text
    })
    await once(socket, "close")
    expect(told).not.toContain("HTTP/1.1 200")
    await expect(fetch(`http://127.0.0.1:${app.port}/healthz`)).rejects.toThrow()
  })

  test("each listener has its own: the metrics are read over TLS, the admin API here is not", async () => {
    expect(app.app.adminUrl).toMatch(/^http:/)
    expect(app.app.metricsUrl).toMatch(/^https:/)
    const response = await metricsPage(first.cert)
    expect(response).toContain('tallygate_tls_reload_success{listener="listen"} 1')
    expect(response).toMatch(
      /tallygate_tls_certificate_expiry_timestamp_seconds\{listener="listeners.metrics"\} \d{10}/,
    )
  })
})

describe("when the files of a certificate change", () => {
  test("new connections get the new one, and neither a stream nor an idle connection is dropped", async () => {
    const client = sdk(first.cert)
    const model = "gpt-4o-mini-c200-d10"
    const stream = await client.chat.completions.create({ model, messages: MESSAGES, stream: true })
    const idle = await shakeHands({})
    expect(await healthOver(idle)).toContain("HTTP/1.1 200 OK")
    const second = selfSigned(folder)
    expect(second.cert).not.toBe(first.cert)
    await until(async () => ((await greetedWith()) === fingerprintOf(second.cert) ? true : undefined))
    let chunks = 0
    for await (const chunk of stream) chunks += chunk.choices[0]?.delta.content ? 1 : 0
    expect(chunks).toBe(200)
    expect(await healthOver(idle)).toContain("HTTP/1.1 200 OK")
    idle.destroy()
    await sdk(second.cert).models.list()
    await expect(sdk(first.cert).models.list()).rejects.toThrow()
    await tlsState("current")
    expect(app.logged.some((line) => line.includes("the certificate was read again"))).toBe(true)
  })

  test("files that cannot be used change nothing, and it is said", async () => {
    const served = await greetedWith()
    const cert = selfSigned(mkdtempSync(path.join(folder, "foreign-"))).cert
    const before = selfSigned(mkdtempSync(path.join(folder, "spare-")))
    writeFileSync(first.certFile, cert)
    await tlsState("files of listeners.metrics and listen cannot be used")
    expect(await greetedWith()).toBe(served)
    const told = app.logged.filter((line) => line.includes("the one read before is served"))
    expect(told.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ listener: "listen", expected: "the private key of the certificate in cert_file" }),
    )
    writeFileSync(first.keyFile, before.key)
    writeFileSync(first.certFile, before.cert)
    await tlsState("current")
    await until(async () => ((await greetedWith()) === fingerprintOf(before.cert) ? true : undefined))
    expect(await metricsPage(before.cert)).toContain('tallygate_tls_reload_success{listener="listen"} 1')
  })
})

function fingerprintOf(cert: string): string {
  return new X509Certificate(cert).fingerprint256
}
