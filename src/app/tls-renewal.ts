/**
 * Keeps a listener's certificate as its files are: they are read again when they change, and when it is asked for. New
 * connections get the new certificate, those that are open notice nothing; files that cannot be used change nothing.
 */

import { FileWatch } from "../platform/file-watch.ts"
import type { Log } from "../platform/log.ts"
import type { TlsFiles, TlsIdentity } from "../platform/tls-identity.ts"
import { readTlsIdentity } from "../platform/tls-identity.ts"

export type TlsRenewalOptions = {
  /** The listener's key in the configuration. */
  readonly listener: string
  readonly files: TlsFiles
  /** What is served at the start. */
  readonly identity: TlsIdentity
  readonly serve: (identity: TlsIdentity) => void
  readonly log: Log
}

export class TlsRenewal {
  readonly listener: string
  readonly #options: TlsRenewalOptions
  readonly #watch: FileWatch
  #identity: TlsIdentity
  #isStale = false

  constructor(options: TlsRenewalOptions) {
    this.listener = options.listener
    this.#options = options
    this.#identity = options.identity
    const { certFile, keyFile } = options.files
    this.#watch = new FileWatch({ files: () => [certFile, keyFile], onChange: () => this.#renew() })
  }

  /** True where the files cannot be used as they are, and what was read before is served. */
  get isStale(): boolean {
    return this.#isStale
  }

  /** When the certificate that is served expires, in epoch milliseconds. */
  get expiresMs(): number {
    return this.#identity.expiresMs
  }

  start(): Promise<void> {
    return this.#watch.start()
  }

  stop(): Promise<void> {
    return this.#watch.stop()
  }

  /** Reads the files and serves what they hold, whether or not they have changed. */
  async renew(): Promise<void> {
    await this.#watch.adopt()
    this.#renew()
  }

  #renew(): void {
    const { files, serve, log, listener } = this.#options
    const read = readTlsIdentity(files)
    this.#isStale = read.kind === "unusable"
    if (read.kind === "unusable") {
      const file = read.file === "cert" ? files.certFile : files.keyFile
      log.error(
        { listener, file, expected: read.expected },
        "the files of the certificate cannot be used; the one read before is served",
      )
      return
    }
    const { identity } = read
    if (identity.cert.equals(this.#identity.cert) && identity.key.equals(this.#identity.key)) return
    this.#identity = identity
    serve(identity)
    log.info({ listener, expires: new Date(identity.expiresMs).toISOString() }, "the certificate was read again")
  }
}
