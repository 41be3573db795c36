/**
 * Who a listener is over TLS: a certificate and its private key, read from their files and held against one another, so
 * that what is wrong with them is told before anything relies on them. No content of either ever leaves this file.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { createSecureContext } from "node:tls"

export type TlsFiles = { readonly certFile: string; readonly keyFile: string }

export type TlsIdentity = {
  /** The certificate and those that vouch for it, in PEM. */
  readonly cert: Buffer
  readonly key: Buffer
  /** When the certificate expires, in epoch milliseconds. */
  readonly expiresMs: number
}

export type TlsRead =
  | { readonly kind: "read"; readonly identity: TlsIdentity }
  /** `expected` is what should stand in that file, as the end of a sentence "expected …". */
  | { readonly kind: "unusable"; readonly file: "cert" | "key"; readonly expected: string }

/** Reads both files, in one turn of the event loop: they are a few kilobytes. */
export function readTlsIdentity({ certFile, keyFile }: TlsFiles): TlsRead {
  const cert = read(certFile)
  if (typeof cert === "string") return { kind: "unusable", file: "cert", expected: cert }
  const key = read(keyFile)
  if (typeof key === "string") return { kind: "unusable", file: "key", expected: key }
  const certificate = attempt(() => new X509Certificate(cert))
  if (certificate === null) return { kind: "unusable", file: "cert", expected: "a file with a certificate in PEM" }
  const privateKey = attempt(() => createPrivateKey(key))
  if (privateKey === null) {
    return { kind: "unusable", file: "key", expected: "a file with a private key in PEM, without a passphrase" }
  }
  if (!certificate.checkPrivateKey(privateKey)) {
    return { kind: "unusable", file: "key", expected: "the private key of the certificate in cert_file" }
  }
  // Keys that OpenSSL finds too weak, certificates of the chain that it cannot read.
  if (attempt(() => createSecureContext({ cert, key })) === null) {
    return { kind: "unusable", file: "cert", expected: "certificates and a key that OpenSSL takes for TLS" }
  }
  return { kind: "read", identity: { cert, key, expiresMs: Date.parse(certificate.validTo) } }
}

/** The content, or what should be there. */
function read(file: string): Buffer | string {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : ""
    if (code === "ENOENT" || code === "ENOTDIR") return "a file that exists"
    if (code === "EISDIR") return "a file, not a folder"
    if (code === "EACCES") return "a file that this user may read"
    return `a file that can be read (${code})`
  }
}

/** OpenSSL throws whatever is wrong; what it says may quote the input. */
function attempt<T>(make: () => T): T | null {
  try {
    return make()
  } catch {
    return null
  }
}
