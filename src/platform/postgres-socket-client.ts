/** One socket of the embedded Postgres's front, from its startup packet to the clearing up behind it. */
import { createHash, timingSafeEqual } from "node:crypto"
import type { Socket } from "node:net"
import type { BackendQueue } from "./backend-queue.ts"
import { closeStatement, type Turn, TurnBuilder } from "./postgres-turns.ts"
import {
  errorMessage,
  filterMessages,
  message,
  PacketReader,
  readCString,
  readFirstPacket,
  readyStatus,
  WireError,
} from "./postgres-wire.ts"

/** What every client of a front shares. */
export interface ClientSettings {
  /** Runs client messages on the single backend, one call at a time, and returns all it answered. A rejection means the backend is lost. */
  exec: (messages: Buffer) => Promise<Buffer>
  /** The ParameterStatus messages of the backend, sent to every client. */
  parameterStatus: Buffer
  /** Any local user can reach a loopback port, so every client must know this. */
  password: string
  /** The backend broke the protocol or failed: nothing can be served any more. */
  onBackendLost: (cause: unknown) => void
  messageBytesMax: number
  /** A client that holds the backend (open transaction, unread answer) this long without a message is ended. */
  ownerIdleMsMax: number
}

const AUTHENTICATE_MS_MAX = 10_000
const LAST_WORDS_MS = 1_000
const INBOX_TURNS_MAX = 64
const SYNC = message("S")
const ROLLBACK = message("Q", "ROLLBACK")
const DROP_UNNAMED = Buffer.concat([closeStatement(""), SYNC])

/** One socket, from its startup packet to the clearing up behind it. */
export class SocketClient {
  readonly #id: number
  readonly #socket: Socket
  readonly #backend: BackendQueue
  readonly #settings: ClientSettings
  readonly #reader: PacketReader
  readonly #builder: TurnBuilder
  readonly #inbox: Turn[] = []
  #state: "starting" | "password" | "ready" | "closed" = "starting"
  #unfinishedBytes = 0
  #wake: (() => void) | undefined
  #isOwner = false
  #timer: NodeJS.Timeout | undefined

  constructor(id: number, socket: Socket, backend: BackendQueue, settings: ClientSettings) {
    this.#id = id
    this.#socket = socket
    this.#backend = backend
    this.#settings = settings
    this.#reader = new PacketReader(settings.messageBytesMax)
    this.#builder = new TurnBuilder(id)
    socket.on("data", (chunk: Buffer) => this.#read(chunk))
    socket.on("drain", () => this.#wake?.())
    socket.on("close", () => this.end())
    // A reset is followed by "close", which does what is needed.
    socket.on("error", () => undefined)
    this.#endAfter(AUTHENTICATE_MS_MAX, "08P01", "no startup message and password in time")
  }

  /** Resolves when the socket is closed and the backend holds nothing of this client any more; never rejects. */
  async serve(): Promise<void> {
    try {
      while (this.#state !== "closed") {
        const turn = this.#socket.writableNeedDrain ? undefined : this.#inbox.shift()
        if (turn === undefined) await new Promise<void>((resolve) => (this.#wake = resolve))
        else await this.#run(turn)
        if (this.#inbox.length < INBOX_TURNS_MAX) this.#socket.resume()
      }
      await this.#clearUp()
    } catch (error) {
      this.end()
      this.#settings.onBackendLost(error)
    }
  }

  /** Tells the client why and ends its connection. */
  refuse(code: string, text: string): void {
    if (this.#state === "closed") return
    this.#socket.end(errorMessage("FATAL", code, text))
    this.end()
  }

  end(): void {
    this.#state = "closed"
    clearTimeout(this.#timer)
    // A last error message gets the chance to leave, but a client that does not read is not waited for.
    if (this.#socket.writableEnded) setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS).unref()
    else this.#socket.destroy()
    this.#wake?.()
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.push(chunk)
      while (this.#state !== "closed") {
        const packet = this.#reader.next()
        if (packet === undefined) break
        if (this.#state === "starting") this.#takeStartup(packet)
        else if (this.#state === "password") this.#takePassword(packet)
        else this.#takeMessage(packet)
      }
    } catch (error) {
      if (error instanceof WireError) this.refuse(error.code, error.message)
      else throw error
    }
  }

  #takeStartup(packet: Buffer): void {
    const first = readFirstPacket(packet)
    if (first.kind === "encryption") this.#socket.write("N")
    else if (first.kind === "cancel") this.end()
    else {
      const database = first.parameters.get("database") ?? "postgres"
      if (database !== "postgres")
        throw new WireError(`database "${database}" does not exist, the only one is "postgres"`, "3D000")
      this.#reader.switchToMessages()
      this.#state = "password"
      if (first.minor > 0) this.#socket.write(message("v", 0, 0))
      this.#socket.write(message("R", 3))
    }
  }

  #takePassword(packet: Buffer): void {
    if (packet[0] !== 0x70) throw new WireError("a password message was expected")
    const digest = (text: string) => createHash("sha256").update(text).digest()
    if (!timingSafeEqual(digest(readCString(packet, 5).text), digest(this.#settings.password)))
      throw new WireError("password authentication failed", "28P01")
    clearTimeout(this.#timer)
    this.#state = "ready"
    const ready = message("Z", Buffer.from("I"))
    this.#socket.write(
      Buffer.concat([message("R", 0), this.#settings.parameterStatus, message("K", this.#id, 0), ready]),
    )
  }

  #takeMessage(packet: Buffer): void {
    if (packet[0] === 0x58) {
      this.#socket.end()
      this.end()
      return
    }
    const turn = this.#builder.take(packet)
    if (turn === undefined) {
      this.#unfinishedBytes += packet.length
      if (this.#unfinishedBytes > this.#settings.messageBytesMax) throw new WireError("too much before a Sync", "54000")
      return
    }
    this.#unfinishedBytes = 0
    this.#inbox.push(turn)
    if (this.#inbox.length >= INBOX_TURNS_MAX) this.#socket.pause()
    this.#wake?.()
  }

  async #run(turn: Turn): Promise<void> {
    const isNewOwner = !this.#isOwner
    if (isNewOwner) await this.#own()
    if (this.#state === "closed") return
    clearTimeout(this.#timer)
    // The unnamed statement may be another client's: without it the backend answers with its own error.
    if (isNewOwner && turn.usesEarlierUnnamed && this.#backend.lastOwner !== this)
      await this.#settings.exec(DROP_UNNAMED)
    const answer = await this.#settings.exec(turn.bytes)
    const status = readyStatus(answer)
    if (turn.endsInReady && status === undefined) throw new Error("the backend did not finish its answer")
    if (turn.endsInReady && status === "I") this.#disown()
    else this.#endAfter(this.#settings.ownerIdleMsMax, "25P03", "the connection held the only backend and said nothing")
    if (this.#socket.writable)
      this.#socket.write(turn.mayCopy ? filterMessages(answer, (type) => type !== "G") : answer)
  }

  async #clearUp(): Promise<void> {
    const leftovers = this.#builder.closeStatements()
    if (!this.#isOwner && leftovers.length === 0) return
    if (!this.#isOwner) await this.#own()
    const status = readyStatus(await this.#settings.exec(SYNC))
    if (status !== "I") await this.#settings.exec(ROLLBACK)
    if (leftovers.length > 0) await this.#settings.exec(leftovers)
    this.#disown()
  }

  async #own(): Promise<void> {
    await this.#backend.acquire(this)
    this.#isOwner = true
  }

  #disown(): void {
    this.#isOwner = false
    this.#backend.release()
  }

  #endAfter(ms: number, code: string, text: string): void {
    this.#timer = setTimeout(() => this.refuse(code, text), ms)
  }
}
