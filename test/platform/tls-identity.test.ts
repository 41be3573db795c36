import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, expect, test } from "vitest"
import { readTlsIdentity } from "../../src/platform/tls-identity.ts"
import { type SelfSigned, selfSigned } from "../support/self-signed.ts"

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-identity-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function made(name: string): SelfSigned {
  mkdirSync(path.join(folder, name))
  return selfSigned(path.join(folder, name))
}

function written(name: string, text: string): string {
  const file = path.join(folder, name)
  writeFileSync(file, text)
  return file
}

const ours = made("ours")
const other = made("other")

test("a certificate and its key are read, with the time at which it expires", () => {
  const read = readTlsIdentity(ours)
  if (read.kind !== "read") throw new Error(read.expected)
  expect(read.identity.cert.toString()).toBe(ours.cert)
  const days = (read.identity.expiresMs - Date.now()) / 86_400_000
  expect(days).toBeGreaterThan(1)
  expect(days).toBeLessThan(3)
})

test("a chain is read by its first certificate", () => {
  const certFile = written("chain.pem", ours.cert + other.cert)
  expect(readTlsIdentity({ certFile, keyFile: ours.keyFile }).kind).toBe("read")
  const reversed = written("reversed.pem", other.cert + ours.cert)
  expect(readTlsIdentity({ certFile: reversed, keyFile: ours.keyFile })).toMatchObject({ file: "key" })
})

const encrypted = path.join(folder, "encrypted.pem")
execFileSync("openssl", ["ec", "-aes128", "-passout", "pass:secret", "-in", ours.keyFile, "-out", encrypted], {
  stdio: "pipe",
})

test.each([
  ["no certificate there", "nowhere.pem", ours.keyFile, "cert", "a file that exists"],
  ["a folder in its place", "ours", ours.keyFile, "cert", "a file, not a folder"],
  ["text in its place", written("text.pem", "hello"), ours.keyFile, "cert", "a file with a certificate in PEM"],
  ["the key in its place", ours.keyFile, ours.keyFile, "cert", "a file with a certificate in PEM"],
  ["no key there", ours.certFile, "nowhere.pem", "key", "a file that exists"],
  [
    "a certificate in place of the key",
    ours.certFile,
    ours.certFile,
    "key",
    "a file with a private key in PEM, without a passphrase",
  ],
  [
    "a key under a passphrase",
    ours.certFile,
    encrypted,
    "key",
    "a file with a private key in PEM, without a passphrase",
  ],
  [
    "the key of another certificate",
    ours.certFile,
    other.keyFile,
    "key",
    "the private key of the certificate in cert_file",
  ],
])("%s is told, and in which file", (_, certFile, keyFile, file, expected) => {
  const read = readTlsIdentity({ certFile: path.resolve(folder, certFile), keyFile: path.resolve(folder, keyFile) })
  expect(read).toEqual({ kind: "unusable", file, expected })
})
