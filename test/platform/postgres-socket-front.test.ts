/** The socket front keeps clients apart and its one backend alive, shown with a backend that only writes down what it is asked. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import fc from "fast-check"
import { afterEach, expect, test, vi } from "vitest"
import { type FrontOptions, listenPostgresFront, type SocketFront } from "../../src/platform/postgres-socket-front.ts"
import { message, PacketReader, startupMessage } from "../../src/platform/postgres-wire.ts"

const SYNC = message("S")
const SHORTS = (count: number) => Buffer.alloc(count * 2)
const parse = (name: string, sql: string) => message("P", name, sql, SHORTS(1))
const bind = (name: string) => message("B", "", name, SHORTS(3))
const query = (sql: string) => message("Q", sql)

let fronts: SocketFront[] = []
let sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await Promise.all(fronts.map((front) => front.close()))
  fronts = []
  sockets = []
})

/** A backend that knows BEGIN, ROLLBACK and COMMIT, and answers anything else with nothing but its state. */
async function startFront(options: Partial<FrontOptions> = {}) {
  const asked: string[] = []
  let state = "I"
  const exec = async (bytes: Buffer) => {
    const text = bytes.toString("latin1")
    asked.push(text.replace(/[^ -~]+/g, " ").trim())
    if (text.includes("BEGIN")) state = "T"
    if (/ROLLBACK|COMMIT/.test(text)) state = "I"
    const last = bytes.at(-5) === 0x48 && bytes.readInt32BE(bytes.length - 4) === 4
    return last ? Buffer.alloc(0) : message("Z", Buffer.from(state))
  }
  const lost = vi.fn()
  const front = await listenPostgresFront({
    exec,
    parameterStatus: Buffer.alloc(0),
    password: "open",
    onBackendLost: lost,
    ...options,
  })
  fronts.push(front)
  return { front, asked, lost }
}

/** A client past its password; `next` reads one message. */
async function join(front: SocketFront) {
  const socket = connect(front.port, "127.0.0.1")
  sockets.push(socket)
  const reader = new PacketReader(1_000_000)
  reader.switchToMessages()
  let wake = () => {}
  socket.on("data", (chunk) => {
    reader.push(chunk)
    wake()
  })
  const next = async (): Promise<Buffer> => {
    for (;;) {
      const packet = reader.next()
      if (packet !== undefined) return packet
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  socket.write(Buffer.concat([startupMessage("postgres", "postgres"), message("p", "open")]))
  while ((await next())[0] !== 0x5a);
  return { socket, next }
}

test("two clients that use one statement name reach two statements", async () => {
  const { front, asked } = await startFront()
  const [one, two] = [await join(front), await join(front)]
  one.socket.write(Buffer.concat([parse("s", "SELECT 1"), SYNC]))
  await one.next()
  two.socket.write(Buffer.concat([parse("s", "SELECT 2"), bind("s"), SYNC]))
  await two.next()
  expect(asked).toEqual([
    expect.stringMatching(/P .?c1_0 SELECT 1/),
    expect.stringMatching(/P .?c2_0 SELECT 2 B .?c2_0 S/),
  ])
})

test("an unnamed statement of another client is never met: it is dropped first", async () => {
  const { front, asked } = await startFront()
  const [one, two] = [await join(front), await join(front)]
  for (const client of [one, two]) {
    client.socket.write(Buffer.concat([parse("", "SELECT secret"), SYNC]))
    await client.next()
  }
  one.socket.write(Buffer.concat([bind(""), SYNC]))
  await one.next()
  expect(asked.slice(2)).toEqual([expect.stringMatching(/^C\W*S\W*S$/), expect.stringMatching(/^B/)])
})

test("who waits gets the backend in order of arrival, and only when the owner's transaction is over", async () => {
  const { front, asked } = await startFront()
  const [owner, second, third] = [await join(front), await join(front), await join(front)]
  owner.socket.write(query("BEGIN"))
  await owner.next()
  second.socket.write(query("second"))
  owner.socket.write(query("inside"))
  await owner.next()
  third.socket.write(query("third"))
  owner.socket.write(query("COMMIT"))
  await Promise.all([owner.next(), second.next(), third.next()])
  expect(asked.map((text) => text.replace(/^Q\W*/, ""))).toEqual(["BEGIN", "inside", "COMMIT", "second", "third"])
})

test("an owner that says nothing for too long is ended and rolled back, and the next is served", async () => {
  const { front, asked } = await startFront({ ownerIdleMsMax: 50 })
  const [owner, waiting] = [await join(front), await join(front)]
  owner.socket.write(query("BEGIN"))
  await owner.next()
  waiting.socket.write(query("at last"))
  expect((await owner.next()).toString()).toContain("25P03")
  await waiting.next()
  expect(asked.map((text) => text.replace(/^Q\W*/, ""))).toEqual([
    "BEGIN",
    expect.stringMatching(/^S/),
    "ROLLBACK",
    "at last",
  ])
})

test("one connection too many is refused, and a place that gets free is given away again", async () => {
  const { front } = await startFront({ connectionsMax: 1 })
  const first = await join(front)
  const refused = connect(front.port, "127.0.0.1")
  const [answer] = (await once(refused, "data")) as [Buffer]
  expect(answer.toString()).toContain("53300")
  first.socket.destroy()
  await vi.waitFor(async () => {
    const again = connect(front.port, "127.0.0.1")
    sockets.push(again)
    again.write(startupMessage("postgres", "postgres"))
    expect(((await once(again, "data")) as [Buffer])[0][0]).toBe(0x52)
  })
})

test("a message of an unknown type never reaches the backend", async () => {
  const { front, asked } = await startFront()
  const client = await join(front)
  client.socket.write(Buffer.concat([message("y"), SYNC]))
  expect((await client.next()).toString()).toContain("08P01")
  expect(asked).toEqual([])
})

test("nothing before the password reaches the backend, whatever it is", async () => {
  const { front, asked } = await startFront()
  const start = startupMessage("postgres", "postgres")
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.boolean(), async (noise, isStarted) => {
      const socket = connect(front.port, "127.0.0.1")
      socket.on("error", () => undefined)
      socket.resume()
      socket.end(Buffer.concat([isStarted ? start : Buffer.alloc(0), noise, query("SELECT 1")]))
      await once(socket, "close")
    }),
    { numRuns: 100 },
  )
  expect(asked).toEqual([])
})

test("a backend that does not finish its answer is reported as lost", async () => {
  const { front, lost } = await startFront({ exec: async () => message("C", "SELECT 1") })
  const client = await join(front)
  client.socket.write(query("SELECT 1"))
  await once(client.socket, "close")
  expect(lost).toHaveBeenCalledExactlyOnceWith(
    expect.objectContaining({ message: "the backend did not finish its answer" }),
  )
})

test("packets come out the same however the stream is cut", () => {
  const packets = [query("SELECT 1"), SYNC, query("x".repeat(300)), parse("n", "SELECT 2")]
  const stream = Buffer.concat(packets)
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (cuts) => {
      const reader = new PacketReader(1_000)
      reader.switchToMessages()
      const bounds = [0, ...cuts.sort((left, right) => left - right), stream.length]
      const read: Buffer[] = []
      for (let at = 1; at < bounds.length; at++) {
        reader.push(stream.subarray(bounds[at - 1], bounds[at]))
        for (let packet = reader.next(); packet !== undefined; packet = reader.next()) read.push(packet)
      }
      expect(read.map(String)).toEqual(packets.map(String))
    }),
  )
})
