/** Amazon's event stream encoding: messages as specified, in whatever pieces they come; what is broken ends the reading. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { EventStreamReader } from "../../src/metering/event-stream.ts"
import { bedrockEvent, eventMessage } from "../support/event-stream-bytes.ts"

function read(chunks: readonly Buffer[]) {
  const seen: { headers: Record<string, string>; payload: string }[] = []
  const reader = new EventStreamReader(({ headers, payload }) => {
    seen.push({ headers: Object.fromEntries(headers), payload: payload.toString("latin1") })
  })
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk)
    reader.push(copy)
    // A relay uses a chunk's memory again.
    copy.fill(0)
  }
  return { seen, isBroken: reader.isBroken }
}

describe("messages", () => {
  // The specification's own examples.
  test.each([
    ["000000100000000005c248eb7d98c8ff", ""],
    ["0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", "{'foo':'bar'}"],
  ])("%s", (hex, payload) => {
    expect(read([Buffer.from(hex, "hex")])).toEqual({ seen: [{ headers: {}, payload }], isBroken: false })
  })
  test("headers of every type are passed over but for texts", () => {
    const header = (name: string, type: number, value: number[]) => [name.length, ...Buffer.from(name), type, ...value]
    const eight = [0, 0, 0, 0, 0, 0, 0, 1]
    const head = Buffer.from([
      ...[header("a", 0, []), header("b", 1, []), header("c", 2, [1]), header("d", 3, [0, 1])].flat(),
      ...[header("e", 4, [0, 0, 0, 1]), header("f", 5, eight), header("g", 6, [0, 2, 1, 2])].flat(),
      ...[header("h", 8, eight), header("i", 9, [...eight, ...eight]), header("j", 7, [0, 2, 0x68, 0x69])].flat(),
    ])
    const message = eventMessage({ x: "y".repeat(head.length - 4 - 1) }, Buffer.from("p"))
    const at = message.indexOf("x") - 1
    head.copy(message, at)
    message.writeUInt32BE(checksum(message), message.length - 4)
    expect(read([message]).seen).toEqual([{ headers: { j: "hi" }, payload: "p" }])
  })
})

/** CRC-32, by the bit. */
function checksum(message: Buffer): number {
  let crc = 0xffffffff
  for (const byte of message.subarray(0, message.length - 4)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

const stream = Buffer.concat([
  bedrockEvent("messageStart", { role: "assistant" }),
  bedrockEvent("contentBlockDelta", { delta: { text: "Grüße ✨" } }),
  bedrockEvent("metadata", { usage: { inputTokens: 15, outputTokens: 142 } }),
])

test("any chunking gives the same messages", () => {
  const whole = read([stream])
  expect(whole.seen).toHaveLength(3)
  for (let at = 0; at <= stream.length; at++) {
    expect(read([stream.subarray(0, at), stream.subarray(at)])).toEqual(whole)
  }
  expect(read(Array.from(stream, (_, at) => stream.subarray(at, at + 1)))).toEqual(whole)
})

test("a flipped bit anywhere ends the reading at its message, and those before it stand", () => {
  const whole = read([stream]).seen
  for (let at = 0; at < stream.length; at++) {
    const broken = Buffer.from(stream)
    broken.writeUInt8((broken[at] ?? 0) ^ 0x01, at)
    const { seen } = read([broken])
    expect(seen.length).toBeLessThan(3)
    expect(whole.slice(0, seen.length)).toEqual(seen)
  }
})

test("a cut stream gives what was whole", () => {
  for (let at = 0; at < stream.length; at++) expect(read([stream.subarray(0, at)]).isBroken).toBe(false)
})

test("hostile bytes never throw, and an announced length makes nothing wait for gigabytes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 64 })),
      (chunks) => void read(chunks.map((one) => Buffer.from(one))),
    ),
  )
  const huge = eventMessage({}, Buffer.alloc(0))
  huge.writeUInt32BE(0x7fffffff, 0)
  expect(read([huge])).toEqual({ seen: [], isBroken: true })
})
