/**
 * From messages of one client to turns of the single embedded backend. A turn is what must be run together: everything
 * up to a Sync, a simple Query or a Flush. Statement names are made unique per client here, messages that would wreck
 * the backend are refused here: the backend exits on a message type it does not know, and PGlite then spins for ever.
 */
import { message, readCString, WireError, withCString } from "./postgres-wire.ts"

/** Messages to run together. */
export interface Turn {
  bytes: Buffer
  /** The backend answers it with ReadyForQuery (it ends in Sync or Query, not in Flush). */
  endsInReady: boolean
  /** A COPY may be in it: its CopyInResponse must not reach the client. */
  mayCopy: boolean
  /** It uses an unnamed statement that an earlier turn has parsed. */
  usesEarlierUnnamed: boolean
}

const COPY_REFUSAL =
  "embedded Postgres takes no COPY FROM STDIN; insert rows with INSERT … SELECT unnest(…), or set DATABASE_URL to a Postgres server"
/** The backend ignores a CopyFail outside a COPY, so one put behind whatever may start a COPY ends that COPY at once. */
const COPY_FAIL = message("f", COPY_REFUSAL)
const MAY_COPY = /\bcopy\b/i

/** Gathers one client's messages into turns. */
export class TurnBuilder {
  readonly #prefix: string
  /** The client's statement names and ours. A closed name stays: its Close may have been skipped after an error. */
  readonly #names = new Map<string, string>()
  #nameCount = 0
  #hasParsedCopy = false
  #parts: Buffer[] = []
  #mayCopy = false
  #parsesUnnamed = false
  #usesEarlierUnnamed = false

  constructor(connectionId: number) {
    this.#prefix = `c${connectionId}_`
  }

  /** Takes a message; returns the turn it completes. @throws WireError for a message a client must not send. */
  take(packet: Buffer): Turn | undefined {
    const type = String.fromCharCode(packet[0] ?? 0)
    switch (type) {
      case "S":
      case "H":
        this.#parts.push(packet)
        return this.#finish(type === "S")
      case "Q":
        this.#parts.push(packet)
        if (MAY_COPY.test(packet.toString("latin1", 5))) this.#expectCopy()
        return this.#finish(true)
      case "P":
        return this.#takeParse(packet)
      case "B":
        return this.#takeNamed(packet, readCString(packet, 5).end)
      case "D":
      case "C":
        return this.#takeDescribeOrClose(packet)
      case "E":
        this.#parts.push(packet)
        if (this.#hasParsedCopy) this.#expectCopy()
        return undefined
      case "d":
      case "c":
      case "f":
        // The rest of a COPY that was refused: the backend would ignore it and answer nothing.
        return undefined
      default:
        throw new WireError(`message type ${JSON.stringify(type)} is not served`)
    }
  }

  /** Messages that close every statement this client left behind; empty when there is none. */
  closeStatements(): Buffer {
    if (this.#names.size === 0) return Buffer.alloc(0)
    return Buffer.concat([...[...this.#names.values()].map(closeStatement), message("S")])
  }

  #takeParse(packet: Buffer): undefined {
    const { text: name, end } = readCString(packet, 5)
    if (MAY_COPY.test(packet.toString("latin1", end))) this.#hasParsedCopy = true
    if (name === "") {
      this.#parsesUnnamed = true
      this.#parts.push(packet)
      return
    }
    if (!this.#names.has(name)) this.#names.set(name, `${this.#prefix}${this.#nameCount++}`)
    this.#parts.push(withCString(packet, 5, this.#scoped(name)))
  }

  #takeDescribeOrClose(packet: Buffer): undefined {
    if (packet[5] === 0x53) this.#takeNamed(packet, 6)
    else this.#parts.push(packet)
  }

  #takeNamed(packet: Buffer, at: number): undefined {
    const name = readCString(packet, at).text
    if (name === "" && !this.#parsesUnnamed) this.#usesEarlierUnnamed = true
    this.#parts.push(name === "" ? packet : withCString(packet, at, this.#scoped(name)))
  }

  #scoped(name: string): string {
    // A name never parsed keeps its text behind our prefix, so that the backend's own error names it.
    return this.#names.get(name) ?? `${this.#prefix}?${name}`
  }

  #expectCopy(): void {
    this.#mayCopy = true
    this.#parts.push(COPY_FAIL)
  }

  #finish(endsInReady: boolean): Turn {
    const turn: Turn = {
      bytes: this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts),
      endsInReady,
      mayCopy: this.#mayCopy,
      usesEarlierUnnamed: this.#usesEarlierUnnamed,
    }
    this.#parts = []
    this.#mayCopy = this.#parsesUnnamed = this.#usesEarlierUnnamed = false
    return turn
  }
}

/** Close for a prepared statement, by the backend's name; "" is the unnamed one. */
export function closeStatement(name: string): Buffer {
  return message("C", Buffer.from("S"), name)
}
