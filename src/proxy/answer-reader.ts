/**
 * Reads an answer on the side while its bytes flow to the caller: a JSON body at its end, a stream event by event.
 * Nothing that a provider sends makes it throw; what it cannot read is left for an estimate.
 */
import { EventStreamReader } from "../metering/event-stream.ts"
import { SseSplitter } from "../metering/sse.ts"
import type { Dialect, Reading } from "../providers/dialect.ts"
import type { StreamEnd } from "../providers/stream-end.ts"
import { LineReader } from "./line-reader.ts"
import { unpacked } from "./unpack.ts"
import { UsageFilter } from "./usage-filter.ts"

/** Longest answer kept to be read at its end, packed or not; a longer one is relayed all the same and its usage estimated. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024

export type AnswerForm = {
  readonly isSse: boolean
  readonly contentType: string
  readonly encoding: string
  readonly hidesUsage: boolean
  /** Sees each event of a stream that may be ended early: then only whole events leave. Null for all others. */
  readonly streamEnd: StreamEnd | null
}

const BOM = Buffer.from("\ufeff")
/** How an event stream begins, under whatever name it comes. */
const EVENTS_BEGIN = /^\s*(?:data|event|id|retry)?:/
const JSON_BEGINS = /^\s*[{[]/
const BEGINNING_BYTES = 64

const UNREADABLE = /^(?:audio|image|video|font)\/|^application\/(?:octet-stream|zip|gzip|pdf)/

const EVENT_STREAM = "application/vnd.amazon.eventstream"

function comesInLines({ lineTypes }: Dialect, { contentType }: AnswerForm): boolean {
  return lineTypes === undefined || lineTypes.test(contentType)
}

export class AnswerReader {
  readonly #dialect: Dialect
  readonly #reading: Reading
  readonly #isSse: boolean
  readonly #encoding: string
  readonly #splitter: SseSplitter | null
  readonly #filter: UsageFilter | null
  readonly #lines: LineReader | null
  readonly #messages: EventStreamReader | null
  /** Sound, pictures and files are nobody's to read here. */
  readonly #isReadable: boolean
  /** JSON under the name of an event stream, as some servers answer errors and cached answers; null until it began. */
  #isPlainJson: boolean | null = null
  #kept: Buffer[] = []
  #keptBytes = 0

  constructor(dialect: Dialect, reading: Reading, form: AnswerForm) {
    this.#dialect = dialect
    this.#reading = reading
    this.#isSse = form.isSse
    this.#encoding = form.encoding === "identity" ? "" : form.encoding
    this.#splitter = form.isSse ? new SseSplitter() : null
    this.#lines =
      dialect.readLine === undefined || form.isSse || this.#encoding !== "" || !comesInLines(dialect, form)
        ? null
        : new LineReader((line) => dialect.readLine?.(line, reading))
    this.#messages =
      dialect.readMessage === undefined || !form.contentType.startsWith(EVENT_STREAM) || this.#encoding !== ""
        ? null
        : new EventStreamReader((message) => dialect.readMessage?.(message, reading))
    this.#isReadable = !UNREADABLE.test(form.contentType)
    // Inside a compressed stream no event can be taken out without changing the rest.
    const { hidesUsage, streamEnd } = form
    const isFiltered = this.#encoding === "" && (hidesUsage || streamEnd !== null)
    this.#filter =
      isFiltered && this.#splitter !== null
        ? new UsageFilter(this.#splitter, (event) => {
            streamEnd?.see(event.data)
            return this.#dialect.readEvent(event.data, this.#reading).isInjectedUsage && hidesUsage
          })
        : null
  }

  /** Whether bytes may be taken out, so that an announced length no longer holds. */
  get changesLength(): boolean {
    return this.#filter !== null
  }

  /** Whether all that has left are whole events, so that another one may follow. */
  get isBetweenEvents(): boolean {
    return this.#filter?.isBetweenEvents === true
  }

  /** Takes a chunk in and returns what the caller gets of it, at once. */
  push(chunk: Buffer): Buffer {
    if (this.#isSse && this.#encoding === "" && this.#beginsAsJson(chunk)) this.#keep(chunk)
    if (this.#filter !== null) return this.#filter.push(chunk)
    if (this.#splitter !== null && this.#encoding === "") this.#readEvents(this.#splitter, chunk)
    else if (this.#lines !== null) this.#lines.push(chunk)
    else if (this.#messages !== null) this.#messages.push(chunk)
    else if (this.#isReadable) this.#keep(chunk)
    return chunk
  }

  /** The answer is over, whole or cut: reads what is left and returns the bytes still owed to the caller. */
  end(): Buffer | null {
    const left = this.#filter?.end() ?? null
    this.#lines?.end()
    if (this.#kept.length > 0 || this.#encoding !== "") this.#readKept()
    if (this.#filter === null && this.#splitter !== null) this.#readLast(this.#splitter)
    return left
  }

  #readLast(splitter: SseSplitter): void {
    for (const event of splitter.end()) this.#dialect.readEvent(event.data, this.#reading)
  }

  #beginsAsJson(chunk: Buffer): boolean {
    if (this.#isPlainJson === null && chunk.length > 0) this.#isPlainJson = JSON_BEGINS.test(beginningOf(chunk))
    return this.#isPlainJson === true
  }

  #readEvents(splitter: SseSplitter, chunk: Buffer): void {
    for (const event of splitter.push(chunk)) this.#dialect.readEvent(event.data, this.#reading)
  }

  #keep(chunk: Buffer): void {
    if (this.#keptBytes > KEPT_BYTES_MAX) return
    this.#keptBytes += chunk.length
    if (this.#keptBytes <= KEPT_BYTES_MAX) this.#kept.push(chunk)
    else this.#kept = []
  }

  #readKept(): void {
    const packed = this.#kept.length === 1 && this.#kept[0] ? this.#kept[0] : Buffer.concat(this.#kept)
    this.#kept = []
    const bytes = unpacked(packed, this.#encoding, KEPT_BYTES_MAX) ?? neverPacked(packed)
    if (bytes === null) return
    const beginning = beginningOf(bytes)
    const isEvents = this.#isSse ? !JSON_BEGINS.test(beginning) : EVENTS_BEGIN.test(beginning)
    if (!isEvents) {
      this.#dialect.readAnswer(bytes.indexOf(BOM) === 0 ? bytes.subarray(BOM.length) : bytes, this.#reading)
      return
    }
    const splitter = this.#splitter ?? new SseSplitter()
    this.#readEvents(splitter, bytes)
    this.#readLast(splitter)
  }
}

function beginningOf(bytes: Buffer): string {
  return bytes.toString("utf8", 0, BEGINNING_BYTES).replace(/^\ufeff/, "")
}

/** Gateways on the way unpack a body and leave the header that says how it was packed. */
function neverPacked(bytes: Buffer): Buffer | null {
  const beginning = beginningOf(bytes)
  return JSON_BEGINS.test(beginning) || EVENTS_BEGIN.test(beginning) ? bytes : null
}
