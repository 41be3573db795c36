/** Messages in Amazon's event stream encoding, as a provider sends them. */
import { crc32 } from "node:zlib"

const TEXT = 7

/** One message whose headers are all texts. */
export function eventMessage(headers: Readonly<Record<string, string>>, payload: Buffer | object): Buffer {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload))
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => textHeader(name, value)))
  const message = Buffer.alloc(12 + head.length + body.length + 4)
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(head.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  head.copy(message, 12)
  body.copy(message, 12 + head.length)
  message.writeUInt32BE(crc32(message.subarray(0, message.length - 4)), message.length - 4)
  return message
}

/** An event as Bedrock's runtime sends it. */
export function bedrockEvent(type: string, payload: object): Buffer {
  const headers = { ":event-type": type, ":content-type": "application/json", ":message-type": "event" }
  return eventMessage(headers, payload)
}

/** A maker's event inside of InvokeModel's stream. */
export function bedrockChunk(event: object): Buffer {
  return bedrockEvent("chunk", { bytes: Buffer.from(JSON.stringify(event)).toString("base64"), p: "abcd" })
}

function textHeader(name: string, value: string): Buffer {
  const header = Buffer.alloc(1 + name.length + 3 + Buffer.byteLength(value))
  header.writeUInt8(name.length, 0)
  header.write(name, 1)
  header.writeUInt8(TEXT, 1 + name.length)
  header.writeUInt16BE(Buffer.byteLength(value), 2 + name.length)
  header.write(value, 4 + name.length)
  return header
}
