/** The parser alone: what is refused, and that no cut of the bytes changes what is read. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ResponseParser } from "../../src/providers/http1-response.ts"
import { BROKEN_ANSWERS, GOOD_ANSWERS, OK } from "../support/http1-answers.ts"

type Read = {
  status: number
  headers: string[]
  body: string
  isDone: boolean
  isReusable: boolean
  violation: string | null
}

/** Reads pieces out of one buffer that is overwritten each time, as the socket does. */
function read(pieces: readonly Buffer[], options: { isHead?: boolean } = {}): Read {
  const parser = new ResponseParser()
  parser.start(options.isHead === true)
  const shared = Buffer.alloc(Math.max(1, ...pieces.map((piece) => piece.length)), "\r\n")
  const found: Read = { status: 0, headers: [], body: "", isDone: false, isReusable: false, violation: null }
  const bodies: Buffer[] = []
  for (const piece of pieces) {
    shared.fill("\r\n")
    piece.copy(shared)
    const progress = parser.push(shared, piece.length)
    if (progress.head !== null) {
      expect(found.status).toBe(0)
      found.status = progress.head.status
      found.headers = progress.head.headers
    }
    if (progress.body !== null) bodies.push(progress.body)
    found.violation = progress.violation
    found.isDone = progress.isDone
    if (progress.isDone || progress.violation !== null) break
  }
  found.body = Buffer.concat(bodies).toString("latin1")
  found.isReusable = found.isDone && parser.isReusable
  return found
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1")
const readText = (text: string, options: { isHead?: boolean } = {}): Read => read([bytes(text)], options)

describe("an answer that breaks HTTP is refused", () => {
  test.each(Object.entries(BROKEN_ANSWERS))("%s", (_name, text) => {
    const whole = readText(text)
    expect(whole.violation).toMatch(/\w+/)
    expect(whole.isDone).toBe(false)
    // Nor does it pass in single bytes.
    const cut = read([...bytes(text)].map((byte) => Buffer.from([byte])))
    expect(cut.violation).toMatch(/\w+/)
    expect(cut.body).toBe(whole.body)
    expect(cut.status).toBe(whole.status)
  })

  test("what is refused is told without the server's own words", () => {
    const { violation } = readText(`${OK}x-secret: 12\0-secret-34\r\n\r\n`)
    expect(violation).toBe("header line 1 is malformed")
  })
})

describe("an answer is read the same however it is cut", () => {
  test.each(Object.entries(GOOD_ANSWERS))(
    "an answer %s, cut in two at every byte and into single bytes",
    (_name, good) => {
      const whole = bytes(good.text)
      const expected = readText(good.text)
      expect(expected).toMatchObject({ body: good.body, isDone: true, isReusable: good.isReusable, violation: null })
      for (let at = 1; at < whole.length; at++) {
        expect(read([whole.subarray(0, at), whole.subarray(at)])).toEqual(expected)
      }
      expect(read([...whole].map((byte) => Buffer.from([byte])))).toEqual(expected)
    },
  )

  test("any chunks in any pieces give back the body", () => {
    const piece = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((data) => Buffer.from(data))
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.array(fc.nat(6_000), { maxLength: 12 }), (chunks, cuts) => {
        const framed = chunks.map((chunk) =>
          Buffer.concat([bytes(`${chunk.length.toString(16)}\r\n`), chunk, bytes("\r\n")]),
        )
        const wire = Buffer.concat([bytes(`${OK}transfer-encoding: chunked\r\n\r\n`), ...framed, bytes("0\r\n\r\n")])
        const found = read(cutAt(wire, cuts))
        expect(found).toMatchObject({ isDone: true, isReusable: true, violation: null })
        expect(found.body).toBe(Buffer.concat(chunks).toString("latin1"))
      }),
    )
  })

  test("any bytes at all are read or refused alike in any pieces, and never throw", () => {
    const token = fc.constantFrom(
      ..."\r\n|\n|\r|HTTP/1.1 200 OK|content-length: 3|transfer-encoding: chunked|: |0|5|abc|;|\0| |\t".split("|"),
    )
    fc.assert(
      fc.property(fc.array(token, { maxLength: 25 }), fc.array(fc.nat(200), { maxLength: 8 }), (tokens, cuts) => {
        const wire = bytes(`HTTP/1.1 200 OK\r\n${tokens.join("")}`)
        const whole = read([wire])
        const cut = read(cutAt(wire, cuts))
        expect({ ...cut, violation: cut.violation !== null }).toEqual({ ...whole, violation: whole.violation !== null })
      }),
      { numRuns: 2_000 },
    )
  })
})

describe("the end of an answer", () => {
  test("bytes after it make the connection unfit for another", () => {
    const extra = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    for (const good of Object.values(GOOD_ANSWERS)) {
      expect(readText(good.text + extra)).toMatchObject({ body: good.body, isDone: true, isReusable: false })
    }
  })

  test("an answer to HEAD has no body whatever its length", () => {
    const found = readText(`${OK}content-length: 500\r\n\r\n`, { isHead: true })
    expect(found).toMatchObject({ isDone: true, isReusable: true, body: "" })
    expect(readText(`${OK}transfer-encoding: chunked\r\n\r\n`, { isHead: true }).isDone).toBe(true)
  })

  test("without a length it is where the server closes, and the connection is not used again", () => {
    const parser = new ResponseParser()
    parser.start(false)
    const wire = bytes(`${OK}\r\nhel`)
    expect(parser.push(wire, wire.length)).toMatchObject({ isDone: false, violation: null })
    expect(parser.push(bytes("lo"), 2).body?.toString()).toBe("lo")
    expect([parser.isWholeAtClose, parser.isReusable]).toEqual([true, false])
  })

  test("a body's bytes are in memory of their own", () => {
    const parser = new ResponseParser()
    parser.start(false)
    const shared = bytes(`${OK}content-length: 5\r\n\r\nhello`)
    const { body } = parser.push(shared, shared.length)
    shared.fill(0)
    expect(body?.toString()).toBe("hello")
  })

  test("names come in lower case, values as they are without the blanks around them", () => {
    const found = readText(`${OK}X-A: \t One, "Two" \xe4 \t\r\nContent-Length: 0\r\n\r\n`)
    expect(found.headers).toEqual(["x-a", 'One, "Two" \xe4', "content-length", "0"])
  })
})

function cutAt(wire: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.filter((cut) => cut > 0 && cut < wire.length))].sort((a, b) => a - b)
  return [...places, wire.length].map((place, index) => wire.subarray(places[index - 1] ?? 0, place))
}
