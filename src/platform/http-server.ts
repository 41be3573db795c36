/**
 * A listener, over TLS or not. Hot paths are served on Node's own request and response; everything else goes to a listener of its
 * own. It knows what is in flight, so that closing can refuse the new, wait for the running, and cut what is left.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer, type Server as TlsServer } from "node:https"
import type { AddressInfo } from "node:net"
import type { TlsIdentity } from "./tls-identity.ts"

export type HotPaths = {
  readonly has: (path: string) => boolean
  /** Resolves when the request is answered and everything about it is done, even after its caller left. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void>
  /** Refuses a request that arrives on an open connection while the server drains. */
  readonly refuseDraining: (response: ServerResponse, path: string) => void
}

export type HttpServerOptions = {
  /** Null where this listener has none of them. */
  readonly hot: HotPaths | null
  readonly serveOther: (request: IncomingMessage, response: ServerResponse) => unknown
  readonly onFault: (fault: unknown) => void
  /** Longest wait for a request to arrive in full. */
  readonly requestBodyMs: number
  /** Null for plain HTTP. */
  readonly tls: TlsIdentity | null
}

const HEADERS_MS = 10_000
/** Longer than the keep-alive of common load balancers (60 s), so that they close first and no request is lost in between. */
const KEEP_ALIVE_MS = 75_000
const HEADER_BYTES_MAX = 16 * 1024
/**
 * An answer that its caller does not read stops being written here. One more read of the upstream may stand behind it
 * (64 KiB), and what a hidden usage event needs: together at most 128 KiB per stream. Over TLS Node takes no such bound
 * and its own is 64 KiB, so that it is 160 KiB there.
 */
const BUFFERED_BYTES_MAX = 32 * 1024
const POLL_MS = 20
const LAST_ANSWERS_MS = 1_000

export class HttpServer {
  readonly #server: Server | TlsServer
  readonly #options: HttpServerOptions
  #inFlight = 0
  #isDraining = false

  constructor(options: HttpServerOptions) {
    this.#options = options
    const bounds = {
      headersTimeout: HEADERS_MS,
      requestTimeout: options.requestBodyMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
      highWaterMark: BUFFERED_BYTES_MAX,
      noDelay: true,
    }
    const serve = (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response)
    const { tls } = options
    this.#server =
      tls === null
        ? createServer(bounds, serve)
        : createTlsServer(
            { ...bounds, ...secured(tls), ALPNProtocols: ["http/1.1"], handshakeTimeout: HEADERS_MS },
            serve,
          )
  }

  /** Calls of the hot paths that are not done yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Connections that begin from now on are greeted with this certificate; those there are go on with theirs. */
  renewTls(identity: TlsIdentity): void {
    if ("setSecureContext" in this.#server) this.#server.setSecureContext(secured(identity))
  }

  /** Longest wait for a request to arrive in full, for those that begin to arrive from now on. */
  limitRequestBody(requestBodyMs: number): void {
    this.#server.requestTimeout = requestBodyMs
  }

  /** Listens; rejects where the port is taken. Returns the port, chosen by the system for port 0. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject)
      this.#server.listen({ host, port, backlog: 4096 }, () => {
        this.#server.off("error", reject)
        this.#server.on("error", this.#options.onFault)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /**
   * Refuses the new at once, waits at most `graceMs` for what runs, then stops listening and cuts the rest. It listens
   * meanwhile, so that a load balancer reads "not ready" and a caller that it may try again, not a refused connection.
   * True where nothing had to be cut.
   */
  async drain(graceMs: number): Promise<boolean> {
    this.#isDraining = true
    const until = performance.now() + graceMs
    while (this.#inFlight > 0 && performance.now() < until) await sleep(POLL_MS)
    const isClean = this.#inFlight === 0
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    // Idle connections go at once; one that is just being told that this proxy drains has a moment to hear it.
    if (isClean) await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, LAST_ANSWERS_MS).unref())])
    this.#server.closeAllConnections()
    await closed
    // What was cut still has to be written down; it ends at once, since its caller is gone.
    const cutUntil = performance.now() + 5_000
    while (this.#inFlight > 0 && performance.now() < cutUntil) await sleep(POLL_MS)
    return isClean
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = pathOf(request)
    if (this.#isDraining) response.setHeader("connection", "close")
    const { hot } = this.#options
    if (hot === null || !hot.has(path)) {
      this.#options.serveOther(request, response)
      return
    }
    if (this.#isDraining) {
      hot.refuseDraining(response, path)
      return
    }
    void this.#serveHot(hot, request, response, path)
  }

  async #serveHot(hot: HotPaths, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    this.#inFlight++
    try {
      await hot.serve(request, response, path)
    } catch (fault) {
      this.#options.onFault(fault)
      response.destroy()
    } finally {
      this.#inFlight--
    }
  }
}

/** What both the first and every later certificate is served with: a new context forgets what the one before was told. */
function secured({ cert, key }: TlsIdentity) {
  return { cert, key, minVersion: "TLSv1.2" } as const
}

/** The path as it was sent, without its query; what does not begin with a slash (an absolute form) is no path of ours. */
function pathOf(request: IncomingMessage): string {
  const url = request.url ?? ""
  const query = url.indexOf("?")
  return query < 0 ? url : url.slice(0, query)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
