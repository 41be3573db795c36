/** What a caller receives on the wire when the proxy frames the pieces of an answer itself. */
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { AnswerWriter } from "../../src/proxy/answer-writer.ts"
import { rawRequest } from "../support/http-client.ts"

const stops: (() => unknown)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

async function serve(answer: (writer: AnswerWriter, response: ServerResponse) => unknown): Promise<number> {
  const server = createServer((_request, response) => void answer(new AnswerWriter(response), response))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  stops.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

describe("an answer of unknown length", () => {
  test("arrives whole in chunked coding, whatever the sizes of its pieces", async () => {
    const sizes = [1, 9, 10, 15, 16, 17, 255, 256, 4_095, 4_096, 16_384, 16_385, 70_000]
    const pieces = sizes.map((size, index) => Buffer.alloc(size, 65 + index))
    const port = await serve((writer, response) => {
      writer.begin(200, ["content-type", "text/event-stream"], true)
      for (const piece of pieces) writer.write(piece)
      response.end()
    })
    const answer = await rawRequest({ port, path: "/" })
    expect(answer.end).toBe("complete")
    expect(answer.headers["transfer-encoding"]).toBe("chunked")
    expect(answer.bodyBytes.equals(Buffer.concat(pieces))).toBe(true)
  })

  test("has one chunk for each piece, and the caller may send its next request on the connection", async () => {
    const port = await serve((writer, response) => {
      writer.begin(200, [], false)
      writer.write(Buffer.from("data: one\n\n"))
      writer.write(Buffer.from("data: two\n\n"))
      response.end()
    })
    const socket = connect(port, "127.0.0.1")
    const request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    let wire = ""
    socket.on("data", (data: Buffer) => {
      wire += data.toString()
    })
    socket.write(request + request.replace("host: x", "host: x\r\nconnection: close"))
    await once(socket, "close")
    const body = "b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n"
    expect(wire.split(`\r\n\r\n${body}`)).toHaveLength(3)
  })

  test("to a caller of HTTP/1.0 is not chunked and ends with the connection", async () => {
    const port = await serve((writer, response) => {
      writer.begin(200, [], false)
      writer.write(Buffer.from("plain"))
      response.end()
    })
    const socket = connect(port, "127.0.0.1")
    socket.write("GET / HTTP/1.0\r\n\r\n")
    let wire = ""
    socket.on("data", (data: Buffer) => {
      wire += data.toString()
    })
    await once(socket, "close")
    expect(wire).toMatch(/\r\n\r\nplain$/)
  })
})

describe("an answer of known length", () => {
  test("is written as it is", async () => {
    const port = await serve((writer, response) => {
      writer.begin(200, ["content-length", "6"], false)
      writer.write(Buffer.from("abc"))
      writer.write(Buffer.from("def"))
      response.end()
    })
    const answer = await rawRequest({ port, path: "/" })
    expect([answer.end, answer.bodyBytes.toString()]).toEqual(["complete", "abcdef"])
  })
})

describe("a stream's head", () => {
  test("leaves before its first event", async () => {
    const port = await serve((writer) => writer.begin(200, ["content-type", "text/event-stream"], true))
    const socket = connect(port, "127.0.0.1")
    stops.push(() => socket.destroy())
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    const [data] = (await once(socket, "data")) as [Buffer]
    expect(data.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n$/)
  })

  test("shares a packet with an event that is already there", async () => {
    const port = await serve((writer) => {
      writer.begin(200, ["content-type", "text/event-stream"], true)
      writer.write(Buffer.from("data: first\n\n"))
    })
    const socket = connect(port, "127.0.0.1")
    stops.push(() => socket.destroy())
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    const [data] = (await once(socket, "data")) as [Buffer]
    expect(data.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nd\r\ndata: first\n\n\r\n$/)
  })
})

describe("a whole answer", () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const bodies = [0, 1, 256, 12 * 1024, 12 * 1024 + 1, 70_000].map((size) => Buffer.alloc(size, everyByte))

  test.each(bodies.map((body) => [body.length, body] as const))("of %i bytes arrives as it is", async (size, body) => {
    const port = await serve((writer) => {
      writer.whole(200, ["x-request-id", "one", "content-length", String(size), "x-tallygate-cost-usd", "0.1"], body)
    })
    const answer = await rawRequest({ port, path: "/" })
    expect(answer.end).toBe("complete")
    expect(answer.bodyBytes.equals(body)).toBe(true)
    expect(answer.headers).toMatchObject({ "content-length": String(size), "x-tallygate-cost-usd": "0.1" })
  })

  test("arrives as it is where its length is not announced", async () => {
    for (const body of bodies) {
      const port = await serve((writer) => writer.whole(200, ["content-type", "application/json"], body))
      const answer = await rawRequest({ port, path: "/" })
      expect(answer.headers["transfer-encoding"]).toBe("chunked")
      expect(answer.bodyBytes.equals(body)).toBe(true)
    }
  })
})
