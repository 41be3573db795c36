/**
 * Opens a socket to a provider, plain or TLS. Reads go into one buffer that all sockets of a pool share: libuv fills
 * it and calls at once, so nothing is allocated for a read, and what a read brought must be taken out in that call.
 */
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from "node:net"
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls"

export type Endpoint = {
  readonly isTls: boolean
  readonly hostname: string
  readonly port: number
  /** As the Host header says it: without the port where that is the scheme's own. */
  readonly host: string
}

export type TlsTrust = {
  /** Certificates to trust in place of those that Node brings along. */
  readonly ca?: string | readonly string[]
}

export type SocketEvents = {
  readonly buffer: Buffer
  /** Bytes that stand in the buffer now; false stops the reading. */
  readonly onRead: (lengthBytes: number) => boolean
  readonly onOpen: () => void
  /** The other side has closed its half. */
  readonly onEnd: () => void
  readonly onError: (error: Error) => void
  readonly onClose: () => void
}

/** A provider's load balancer may forget a connection that says nothing while a model thinks. */
const TCP_KEEP_ALIVE_MS = 60_000

export function endpointOf(origin: string): Endpoint {
  const url = new URL(origin)
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new Error(`${origin} is neither http nor https`)
  const isTls = url.protocol === "https:"
  const hostname = url.hostname.replace(/^\[|\]$/g, "")
  return { isTls, hostname, port: Number(url.port || (isTls ? 443 : 80)), host: url.host }
}

export class SocketOpener {
  readonly #endpoint: Endpoint
  readonly #trust: TlsTrust
  /** Spares the next TLS connection its full handshake. */
  #session: Buffer | null = null

  constructor(endpoint: Endpoint, trust: TlsTrust) {
    this.#endpoint = endpoint
    this.#trust = trust
  }

  open(events: SocketEvents): Socket {
    const socket = this.#endpoint.isTls ? this.#openTls(events) : this.#openPlain(events)
    socket.once(this.#endpoint.isTls ? "secureConnect" : "connect", events.onOpen)
    socket.on("end", events.onEnd)
    socket.on("error", events.onError)
    socket.on("close", events.onClose)
    return socket
  }

  #openPlain(events: SocketEvents): Socket {
    const { hostname, port } = this.#endpoint
    return connectPlain({ host: hostname, port, ...TCP_OPTIONS, onread: onread(events) })
  }

  #openTls(events: SocketEvents): TLSSocket {
    const { hostname, port } = this.#endpoint
    const ca = this.#trust.ca
    const options: ConnectionOptions & { onread: OnReadOpts } = {
      host: hostname,
      port,
      ...TCP_OPTIONS,
      onread: onread(events),
      // A server name is never an address (RFC 6066); the certificate is checked against either.
      ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
      ALPNProtocols: ["http/1.1"],
      ...(ca === undefined ? {} : { ca: typeof ca === "string" ? ca : [...ca] }),
      ...(this.#session === null ? {} : { session: this.#session }),
    }
    const socket = connectTls(options)
    socket.on("session", (session: Buffer) => {
      this.#session = session
    })
    // A server that has changed its mind about sessions gets a full handshake next time.
    socket.once("error", () => {
      this.#session = null
    })
    return socket
  }
}

const TCP_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS } as const

function onread(events: SocketEvents): OnReadOpts {
  return { buffer: events.buffer, callback: events.onRead }
}
