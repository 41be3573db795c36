/**
 * Reads an answer on the side while its bytes flow to the caller: a JSON body at its end, a stream event by event.
 * Nothing that a provider sends makes it throw; what it cannot read is left for an estimate.
 */
import { brotliDecompressSync, constants, gunzipSync, inflateSync, zstdDecompressSync } from "node:zlib"
import { EventStreamReader } from "../metering/event-stream.ts"
import { SseSplitter } from "../metering/sse.ts"
import type { Dialect, Reading } from "../providers/dialect.ts"
import type { StreamEnd } from "../providers/stream-end.ts"
import { LineReader } from "./line-reader.ts"
import { UsageFilter } from "./usage-filter.ts"

/** Longest answer kept to be read at its end; a longer one is relayed all the same and its usage estimated. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024
/** A compressed answer may unpack to this much. */
const UNPACKED_BYTES_MAX = 64 * 1024 * 1024

type UnpackOptions = { readonly maxOutputLength: number; readonly finishFlush: number }

const UNPACK: Readonly<Record<string, (bytes: Buffer, options: UnpackOptions) => Buffer>> = {
  gzip: gunzipSync,
  "x-gzip": gunzipSync,
  deflate: inflateSync,
  br: (bytes, { maxOutputLength }) =>
    brotliDecompressSync(bytes, { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH }),
  zstd: (bytes, { maxOutputLength }) =>
    zstdDecompressSync(bytes, { maxOutputLength, finishFlush: constants.ZSTD_e_flush }),
}
/** Of a body that was cut, what came of it is read. */
const UNPACK_PARTS = { finishFlush: constants.Z_SYNC_FLUSH }

const BEGINNING_BYTES = 64
/** No JSON begins like it, nor does any other answer with usage. */
const BEGINS_AS_EVENTS = /^(?:\xef\xbb\xbf)?\s*(?:(?:data|event|id|retry):|: )/
const BEGINS_PLAIN = /^(?:\xef\xbb\xbf)?\s*(?:[[{]|(?:data|event|id|retry):|: )/

export type AnswerForm = {
  readonly isSse: boolean
  readonly contentType: string
  readonly encoding: string
  readonly hidesUsage: boolean
  /** Sees each event of a stream that may be ended early: then only whole events leave. Null for all others. */
  readonly streamEnd: StreamEnd | null
}

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
    if (this.#filter !== null) return this.#filter.push(chunk)
    if (this.#splitter !== null && this.#encoding === "") this.#readEvents(this.#splitter, chunk)
    else if (this.#lines !== null) this.#lines.push(chunk)
    else if (this.#messages !== null) this.#messages.push(chunk)
    else if (this.#isReadable) this.#keep(chunk)
    return chunk
  }

  /** The answer is over, whole or cut: reads what is left and returns the bytes still owed to the caller. */
  end(): Buffer | null {
    if (this.#filter !== null) return this.#filter.end()
    this.#lines?.end()
    if (this.#kept.length > 0 || this.#encoding !== "") this.#readKept()
    if (this.#splitter !== null)
      for (const event of this.#splitter.end()) this.#dialect.readEvent(event.data, this.#reading)
    return null
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
    const bytes = this.#unpack(this.#kept.length === 1 && this.#kept[0] ? this.#kept[0] : Buffer.concat(this.#kept))
    this.#kept = []
    if (bytes === null) return
    if (this.#isSse || BEGINS_AS_EVENTS.test(bytes.toString("latin1", 0, BEGINNING_BYTES))) {
      // Gateways on the way may name a stream something else.
      const splitter = this.#splitter ?? new SseSplitter()
      this.#readEvents(splitter, bytes)
      if (this.#splitter === null)
        for (const event of splitter.end()) this.#dialect.readEvent(event.data, this.#reading)
    } else this.#dialect.readAnswer(bytes, this.#reading)
  }

  #unpack(bytes: Buffer): Buffer | null {
    if (this.#encoding === "") return bytes
    try {
      return UNPACK[this.#encoding]?.(bytes, { ...UNPACK_PARTS, maxOutputLength: UNPACKED_BYTES_MAX }) ?? null
    } catch {
      // Broken or a bomb: the bytes were relayed, the usage is estimated and marked so. Unless they were never packed:
      // gateways on the way unpack a body and leave the header.
      return BEGINS_PLAIN.test(bytes.toString("latin1", 0, BEGINNING_BYTES)) ? bytes : null
    }
  }
}
