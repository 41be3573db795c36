/** The listeners that a configuration asks for, by the key that each stands under, and what can be wrong with them. */
import { resolve } from "node:path"
import { readTlsIdentity, type TlsFiles } from "../platform/tls-identity.ts"
import type { Config, ConfigFile } from "./schema.ts"
import type { KeyPath } from "./schema-paths.ts"

export type ListenerConfig = Config["listen"]
export type ListenerName = "listen" | "listeners.admin" | "listeners.metrics"
export type NamedListener = { readonly name: ListenerName; readonly path: KeyPath; readonly at: ListenerConfig }

type Listening = { readonly listen: ListenerConfig; readonly listeners: Config["listeners"] }

/** Every listener of a configuration, the main one first. */
export function listenersOf({ listen, listeners }: Listening): readonly NamedListener[] {
  const { admin, metrics } = listeners
  return [
    { name: "listen", path: ["listen"], at: listen },
    ...(admin === undefined ? [] : [{ name: "listeners.admin", path: ["listeners", "admin"], at: admin } as const]),
    ...(metrics === undefined
      ? []
      : [{ name: "listeners.metrics", path: ["listeners", "metrics"], at: metrics } as const]),
  ]
}

/** The files of a listener's TLS; null where it speaks plain HTTP. */
export function tlsFilesOf({ tls }: ListenerConfig): TlsFiles | null {
  return tls === undefined ? null : { certFile: tls.cert_file, keyFile: tls.key_file }
}

/** The listeners with their files made absolute. */
export function resolveListeners(file: ConfigFile, folder: string): Pick<ConfigFile, "listen" | "listeners"> {
  const { admin, metrics } = file.listeners
  return {
    listen: withPaths(file.listen, folder),
    listeners: {
      ...(admin === undefined ? {} : { admin: withPaths(admin, folder) }),
      ...(metrics === undefined ? {} : { metrics: withPaths(metrics, folder) }),
    },
  }
}

function withPaths(at: ConfigFile["listen"], folder: string): ConfigFile["listen"] {
  if (at.tls === undefined) return at
  return { ...at, tls: { cert_file: resolve(folder, at.tls.cert_file), key_file: resolve(folder, at.tls.key_file) } }
}

export type ListenerProblem = { readonly path: KeyPath; readonly expected: string }

/** Two listeners on one port, and files that TLS cannot be spoken with. `config` has absolute paths. */
export function listenerProblems(config: Listening): readonly ListenerProblem[] {
  const all = listenersOf(config)
  return all.flatMap(({ path, at }, index) => {
    const problems: ListenerProblem[] = []
    const other = all.slice(0, index).find((earlier) => at.port !== 0 && isSamePlace(earlier.at, at))
    if (other !== undefined) problems.push({ path: [...path, "port"], expected: `another port than ${other.name} has` })
    const files = tlsFilesOf(at)
    const read = files === null ? null : readTlsIdentity(files)
    if (read?.kind === "unusable") {
      problems.push({ path: [...path, "tls", `${read.file}_file`], expected: read.expected })
    }
    return problems
  })
}

const EVERY_ADDRESS = ["0.0.0.0", "::"]

function isSamePlace(a: ListenerConfig, b: ListenerConfig): boolean {
  const isShared = a.host === b.host || EVERY_ADDRESS.includes(a.host) || EVERY_ADDRESS.includes(b.host)
  return a.port === b.port && isShared
}

/** A sentence for each certificate that has expired: it is served all the same, since some callers do not look. */
export function expiredCertificates(config: Listening, nowMs: number): readonly string[] {
  return listenersOf(config).flatMap(({ name, at }) => {
    const files = tlsFilesOf(at)
    const read = files === null ? null : readTlsIdentity(files)
    if (read?.kind !== "read" || read.identity.expiresMs > nowMs) return []
    return [`the certificate of ${name} expired on ${new Date(read.identity.expiresMs).toISOString().slice(0, 10)}`]
  })
}
