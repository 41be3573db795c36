/** The splitter against hostile streams, against any cutting into chunks, and against another parser. */
import { createParser } from "eventsource-parser"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type SseEvent, SseSplitter } from "../../src/metering/sse.ts"

function split(chunks: readonly Uint8Array[], options: { eventBytesMax?: number } = {}): SseEvent[] {
  const splitter = new SseSplitter(options)
  const events: SseEvent[] = []
  for (const chunk of chunks) {
    // A relay may reuse the chunk's memory as soon as push has returned.
    const borrowed = Uint8Array.from(chunk)
    events.push(...splitter.push(borrowed))
    borrowed.fill(0x21)
  }
  events.push(...splitter.end())
  return events
}

function whole(stream: string | Uint8Array, options: { eventBytesMax?: number } = {}): SseEvent[] {
  return split([Buffer.from(stream)], options)
}

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [...new Set(cuts.map((position) => position % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length))
}

function everyByte(stream: Uint8Array): Uint8Array[] {
  return Array.from(stream, (byte) => Uint8Array.of(byte))
}

const dataOf = (events: readonly SseEvent[]) => events.map((event) => event.data)
const blocksOf = (stream: string) => whole(stream).map((event) => stream.slice(event.start, event.end))

const lineEnd = fc.constantFrom("\n", "\r", "\r\n")
const line = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => `data: ${text.replace(/[\r\n\0]/g, "_")}`),
  fc.constantFrom(
    "data",
    "data:",
    "data:x",
    "data:  two spaces",
    "event: delta",
    "event:",
    "event",
    "id: 7",
    "retry: 10",
  ),
  fc.constantFrom(": ping", ":", "unknown: field", "dat", "DATA: no", " data: indented", "data : no", "🙂: é"),
  fc.constant(""),
)
/** Each line with any terminator, so also streams that mix all three. */
const mixedStream = fc
  .tuple(
    fc.constantFrom("", "\ufeff"),
    fc.array(fc.tuple(line, lineEnd), { maxLength: 30 }),
    fc.constantFrom("", "data: cut"),
  )
  .map(([mark, lines, tail]) => Buffer.from(mark + lines.map(([text, end]) => text + end).join("") + tail))
const cuts = fc.array(fc.nat(2_000), { maxLength: 12 })

describe("hostile streams", () => {
  test("an event longer than the bound is skipped and flagged, its bytes are counted, and the next one is read", () => {
    const stream = Buffer.from(`data: a\n\ndata: ${"x".repeat(2_000)}\n\ndata: b\n\n`)
    for (const chunks of [[stream], cut(stream, [50, 900, 1_500]), everyByte(stream)]) {
      expect(split(chunks, { eventBytesMax: 1_000 })).toEqual([
        { data: "a", event: "", start: 0, end: 9, isSkipped: false },
        { data: "", event: "", start: 9, end: 2_017, isSkipped: true },
        { data: "b", event: "", start: 2_017, end: 2_026, isSkipped: false },
      ])
    }
  })

  test("an event of exactly the bound is read, one byte more is skipped", () => {
    const stream = "data: 1234\n\n"
    expect(whole(stream, { eventBytesMax: stream.length })[0]?.data).toBe("1234")
    expect(whole(stream, { eventBytesMax: stream.length - 1 })[0]).toMatchObject({ data: "", isSkipped: true })
  })

  test("an endless line without a line end holds no more memory than the bound", () => {
    const splitter = new SseSplitter({ eventBytesMax: 64 * 1024 })
    const chunk = Buffer.alloc(16 * 1024, "x")
    for (let index = 0; index < 100; index++) expect(splitter.push(chunk)).toEqual([])
    expect(splitter.pendingBytes).toBe(100 * chunk.length)
    expect(splitter.end()).toEqual([{ data: "", event: "", start: 0, end: 100 * chunk.length, isSkipped: true }])
  })

  test("a two-megabyte event arrives whole from network-sized chunks", () => {
    const data = "é".repeat(1024 * 1024)
    const stream = Buffer.from(`data: ${data}\n\n`)
    const chunks = Array.from({ length: Math.ceil(stream.length / 65_535) }, (_, index) =>
      stream.subarray(index * 65_535, (index + 1) * 65_535),
    )
    expect(split(chunks)).toEqual([{ data, event: "", start: 0, end: stream.length, isSkipped: false }])
  })

  test("bytes that are not UTF-8 are replaced, not thrown at", () => {
    const [event] = whole(Uint8Array.from([...Buffer.from("data: "), 0xff, 0xc3, 0x0a, 0x0a]))
    expect(event).toMatchObject({ data: "\ufffd\ufffd", end: 10 })
  })

  test("an unfinished last event is delivered at the end, whatever it lacks", () => {
    for (const tail of ["data: cut", "data: cut\n", "data: cut\r", "data: cut\r\n", "data: cut\r\n\r"]) {
      const events = whole(`data: a\r\n\r\n${tail}`)
      expect(dataOf(events)).toEqual(["a", "cut"])
      expect(events[1]).toMatchObject({ start: 11, end: 11 + tail.length })
    }
  })

  test("an empty stream and a lone byte order mark have nothing to say", () => {
    expect(split([])).toEqual([])
    expect(split([new Uint8Array(0)])).toEqual([])
    const mark = Buffer.from("\ufeff")
    expect(split(everyByte(mark))).toEqual([{ data: "", event: "", start: 0, end: 3, isSkipped: false }])
    expect(split([mark.subarray(0, 2)])).toEqual([{ data: "", event: "", start: 0, end: 2, isSkipped: false }])
  })
})

describe("fields", () => {
  test("name, several data lines, id, retry and comments", () => {
    const [event] = whole(": hello\nevent: delta\nid: 4\nretry: 10\ndata: a\ndata:b\ndata\ndata:  c\n\n")
    expect(event).toMatchObject({ event: "delta", data: "a\nb\n\n c" })
  })

  test("a comment alone is a block without data, so that its bytes are accounted for", () => {
    expect(whole(": ping\n\ndata: a\n\n")).toEqual([
      { data: "", event: "", start: 0, end: 8, isSkipped: false },
      { data: "a", event: "", start: 8, end: 17, isSkipped: false },
    ])
  })

  test("a byte order mark is dropped before the first line only", () => {
    expect(dataOf(whole("\ufeffdata: a\n\n\ufeffdata: b\n\n"))).toEqual(["a", ""])
    expect(dataOf(split(everyByte(Buffer.from("\ufeffdata: \ufeffa\n\n"))))).toEqual(["\ufeffa"])
    // Behind it the first line begins, which may be blank.
    expect(dataOf(whole("\ufeff\ndata: a\n\n"))).toEqual(["", "a"])
  })
})

describe("block ends", () => {
  test("each kind of line end belongs to the event it ends", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
      const [one, two] = [`data: a${end}${end}`, `event: b${end}data: b${end}${end}`]
      expect(blocksOf(one + two)).toEqual([one, two])
    }
  })

  test("an event leaves with its own last byte, not with the next event's first", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
      const splitter = new SseSplitter()
      const bytes = everyByte(Buffer.from(`data: a${end}${end}`))
      const delivered = bytes.map((byte) => splitter.push(byte).length)
      expect(delivered.indexOf(1)).toBe(bytes.length - 1)
      expect(splitter.pendingBytes).toBe(0)
    }
  })

  test("pendingBytes counts what belongs to no delivered event", () => {
    const splitter = new SseSplitter()
    splitter.push(Buffer.from("data: a\n\ndata"))
    expect(splitter.pendingBytes).toBe(4)
    splitter.push(Buffer.from(": b\r\n\r"))
    expect(splitter.pendingBytes).toBe(10)
    expect(splitter.push(Buffer.from("\ndata"))).toMatchObject([{ data: "b", start: 9, end: 20 }])
    expect(splitter.pendingBytes).toBe(4)
  })
})

describe("for any stream", () => {
  test("any cutting into chunks gives the same events", () => {
    fc.assert(
      fc.property(mixedStream, cuts, (stream, positions) => {
        expect(split(cut(stream, positions))).toEqual(whole(stream))
      }),
      { numRuns: 1_000 },
    )
    fc.assert(
      fc.property(mixedStream, (stream) => {
        expect(split(everyByte(stream))).toEqual(whole(stream))
      }),
    )
  })

  test("the events' offsets partition the stream", () => {
    fc.assert(
      fc.property(mixedStream, cuts, (stream, positions) => {
        let at = 0
        for (const event of split(cut(stream, positions))) {
          expect(event.start).toBe(at)
          expect(event.end).toBeGreaterThan(at)
          at = event.end
        }
        expect(at).toBe(stream.length)
      }),
    )
  })

  test("any bytes at all are split without throwing, the same for any chunks", () => {
    const bytes = fc.array(fc.constantFrom(0x0a, 0x0d, 0x64, 0x3a, 0xef, 0xbb, 0xbf, 0xff), { maxLength: 40 })
    fc.assert(
      fc.property(bytes, cuts, (values, positions) => {
        const stream = Uint8Array.from(values)
        expect(split(cut(stream, positions), { eventBytesMax: 8 })).toEqual(whole(stream, { eventBytesMax: 8 }))
      }),
      { numRuns: 1_000 },
    )
  })

  test("events with data are those of eventsource-parser", () => {
    fc.assert(
      fc.property(mixedStream, cuts, (unfinished, positions) => {
        // The other parser drops an unfinished event and waits for the byte after a final CR.
        const stream = Buffer.concat([unfinished, Buffer.from("\n\n\n")])
        const theirs: { data: string; event: string }[] = []
        const parser = createParser({ onEvent: ({ data, event }) => theirs.push({ data, event: event ?? "" }) })
        parser.feed(new TextDecoder().decode(stream))
        const ours = split(cut(stream, positions)).map(({ data, event }) => ({ data, event }))
        const hasData = ({ data }: { data: string }) => data !== ""
        expect(ours.filter(hasData)).toEqual(theirs.filter(hasData))
      }),
      { numRuns: 1_000 },
    )
  })
})
