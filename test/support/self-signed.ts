/** Certificates for tests, made by openssl on the spot: each is its own authority, and valid for two days. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import path from "node:path"

export type SelfSigned = {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

export const LOCAL_NAMES = "DNS:localhost,IP:127.0.0.1"

/** Writes `cert.pem` and `key.pem` into the folder, over those that are there. */
export function selfSigned(folder: string, subjectAltName = LOCAL_NAMES, days = 2): SelfSigned {
  const [keyFile, certFile] = [path.join(folder, "key.pem"), path.join(folder, "cert.pem")]
  const subject = ["-subj", "/CN=tallygate test", "-addext", `subjectAltName=${subjectAltName}`]
  const form = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  execFileSync("openssl", [...form, "-days", String(days), ...subject, "-keyout", keyFile, "-out", certFile], {
    stdio: "pipe",
  })
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") }
}
