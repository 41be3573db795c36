/**
 * The listeners: the main one, and those that the configuration gives to the control plane and to the metrics. Which
 * paths each of them has is decided here. A stop drains the main one first, while health and metrics can still be read.
 */
import { getRequestListener, type Http2Bindings, type HttpBindings } from "@hono/node-server"
import type { Registry } from "prom-client"
import type { AdminApp } from "../admin/admin-app.ts"
import type { Serves } from "../admin/serves.ts"
import { type ListenerConfig, type ListenerName, listenersOf, tlsFilesOf } from "../config/listeners.ts"
import type { Config } from "../config/schema.ts"
import type { Closing } from "../platform/closing.ts"
import { ApiError } from "../platform/error-table.ts"
import { registerSeries } from "../platform/figures.ts"
import { type HotPaths, HttpServer } from "../platform/http-server.ts"
import type { Log } from "../platform/log.ts"
import { readTlsIdentity, type TlsIdentity } from "../platform/tls-identity.ts"
import { apiOf } from "../proxy/open-door.ts"
import { writeRefusal } from "../proxy/refuse.ts"
import { serveDataPlane } from "../proxy/routes.ts"
import type { Routing } from "../proxy/routing.ts"
import { cannotListen, StartError } from "./start-error.ts"
import { TlsRenewal } from "./tls-renewal.ts"

/** Where to reach what; null for what has no listener of its own. */
export type Addresses = {
  readonly url: string
  readonly adminUrl: string | null
  readonly metricsUrl: string | null
}

export type ListenersOptions = {
  readonly config: Config
  readonly routing: Routing
  readonly admin: AdminApp
  readonly registry: Registry
  readonly log: Log
  readonly closing: Closing
}

export class Listeners {
  readonly #options: ListenersOptions
  readonly #servers = new Map<ListenerName, HttpServer>()
  readonly #renewals: TlsRenewal[] = []
  readonly #urls = new Map<ListenerName, string>()
  #config: Config

  constructor(options: ListenersOptions) {
    this.#options = options
    this.#config = options.config
    registerCertificates(options.registry, this.#renewals)
  }

  /** Opens all of them, the main one last. @throws StartError that names the one that cannot be opened, and why */
  async open(): Promise<void> {
    for (const { name, at } of listenersOf(this.#config).toReversed()) await this.#open(name, at)
  }

  get addresses(): Addresses {
    return {
      url: this.#urls.get("listen") ?? "",
      adminUrl: this.#urls.get("listeners.admin") ?? null,
      metricsUrl: this.#urls.get("listeners.metrics") ?? null,
    }
  }

  get isDraining(): boolean {
    return this.#servers.get("listen")?.isDraining ?? false
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#servers.get("listen")?.inFlight ?? 0
  }

  /** The certificates in a word: `none`, `current`, or whose files cannot be used as they are. */
  get tlsState(): string {
    if (this.#renewals.length === 0) return "none"
    const stale = this.#renewals.filter(({ isStale }) => isStale).map(({ listener }) => listener)
    return stale.length === 0 ? "current" : `files of ${stale.join(" and ")} cannot be used`
  }

  /** Goes on with another configuration of the same listeners, and reads their certificates again. */
  async reconfigure(config: Config): Promise<void> {
    this.#config = config
    for (const server of this.#servers.values()) server.limitRequestBody(config.timeouts.request_body_ms)
    await Promise.all(this.#renewals.map((renewal) => renewal.renew()))
  }

  async #open(name: ListenerName, at: ListenerConfig): Promise<void> {
    const { log, closing } = this.#options
    const files = tlsFilesOf(at)
    const read = files === null ? null : readTlsIdentity(files)
    if (read?.kind === "unusable") throw new StartError(`${name}.tls.${read.file}_file is not ${read.expected}.`)
    const identity = read === null ? null : read.identity
    const server = this.#serverOf(name, identity)
    const port = await server.listen(at.host, at.port).catch((error: unknown) => {
      throw cannotListen(name, at, error)
    })
    closing.add(name, () => drain(server, this.#config.timeouts.shutdown_grace_ms, log))
    this.#servers.set(name, server)
    this.#urls.set(name, `${files === null ? "http" : "https"}://${urlHost(at.host)}:${port}`)
    if (files === null || identity === null) return
    const serve = server.renewTls.bind(server)
    const renewal = new TlsRenewal({ listener: name, files, identity, serve, log })
    await renewal.start()
    closing.add(`certificate of ${name}`, () => renewal.stop())
    this.#renewals.push(renewal)
  }

  #serverOf(name: ListenerName, tls: TlsIdentity | null): HttpServer {
    const { routing, admin, log } = this.#options
    const serves = servesOf(name, this.#config)
    return new HttpServer({
      hot: name === "listen" ? hotPaths(routing) : null,
      serveOther: getRequestListener((request, env) => admin.fetch(request, { ...asHttp(env), serves })),
      onFault: (fault) => log.error({ err: fault, listener: name }, "serving failed"),
      requestBodyMs: this.#config.timeouts.request_body_ms,
      tls,
    })
  }
}

/** What a listener serves beside health and, on the main one, calls. Only what this machine alone can reach is open unasked. */
export function servesOf(name: ListenerName, { listen, listeners }: Pick<Config, "listen" | "listeners">): Serves {
  if (name === "listeners.admin") return { control: true, ownKeys: true, metrics: "no" }
  // Whoever gives the metrics a listener of their own has decided who can reach it.
  if (name === "listeners.metrics") return { control: false, ownKeys: false, metrics: "open" }
  const open = isLoopback(listen.host) ? "open" : "with an admin key"
  return {
    control: listeners.admin === undefined,
    ownKeys: true,
    metrics: listeners.metrics === undefined ? open : "no",
  }
}

function hotPaths(routing: Routing): HotPaths {
  const { clock, mintId } = routing.plane
  return {
    has: (path) => routing.doors.has(path),
    serve: (request, response, path) => serveDataPlane(routing.plane, request, response, path),
    refuseDraining: (response, path) => {
      const message = "This proxy is shutting down; another one, or a moment's wait, will answer."
      const error = new ApiError("shutting_down", message, { headers: [["retry-after", "1"]] })
      writeRefusal({ id: mintId(clock.nowMs()), response, api: apiOf(path) }, error)
    },
  }
}

/** Our servers speak HTTP/1.1 alone, so what the adapter hands on is never HTTP/2's. */
function asHttp(env: HttpBindings | Http2Bindings): HttpBindings {
  return env as HttpBindings
}

/** False where calls outlasted the grace. They are recorded as far as they came. */
async function drain(server: HttpServer, graceMs: number, log: Log): Promise<boolean> {
  const isClean = await server.drain(graceMs)
  if (!isClean) log.warn({ grace_ms: graceMs }, "calls that ran longer than the grace were cut")
  return isClean
}

function registerCertificates(registry: Registry, renewals: readonly TlsRenewal[]): void {
  const perListener = (value: (renewal: TlsRenewal) => number) => () =>
    renewals.map((renewal) => ({ labels: { listener: renewal.listener }, value: value(renewal) }))
  const expiry = {
    name: "tallygate_tls_certificate_expiry_timestamp_seconds",
    help: "When the certificate that a listener serves expires, as Unix time.",
    type: "gauge",
  } as const
  registerSeries(
    registry,
    expiry,
    perListener(({ expiresMs }) => expiresMs / 1000),
  )
  const success = {
    name: "tallygate_tls_reload_success",
    help: "1 while the files of a listener's certificate are what it serves, 0 while they cannot be used.",
    type: "gauge",
  } as const
  registerSeries(
    registry,
    success,
    perListener(({ isStale }) => (isStale ? 0 : 1)),
  )
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.")
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host
}
