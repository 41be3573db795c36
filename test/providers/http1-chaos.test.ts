/** A server that misbehaves at random, callers that leave at random: each call ends once, with its own answer or none. */
import type { Socket } from "node:net"
import fc from "fast-check"
import { expect, test } from "vitest"
import { Asking, openPool, request } from "../support/http1-asking.ts"
import { startRawServer } from "../support/raw-server.ts"

const EVIL = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"

/** What the server may do with a request; `id` is what the right answer holds. */
const ACTS: Readonly<Record<string, (socket: Socket, id: string) => void>> = {
  answer: (socket, id) => socket.write(withLength(id)),
  chunks: (socket, id) => {
    socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for (const letter of id) socket.write(`1\r\n${letter}\r\n`)
    setImmediate(() => socket.write("0\r\n\r\n"))
  },
  trickle: (socket, id) => {
    for (const letter of withLength(id)) socket.write(letter)
  },
  untilClose: (socket, id) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${id}`),
  answerAndClose: (socket, id) => socket.end(withLength(id)),
  answerAndCloseSoon: (socket, id) => {
    socket.write(withLength(id))
    setImmediate(() => socket.destroy())
  },
  answerTwice: (socket, id) => socket.write(withLength(id) + EVIL),
  answerAndEvilSoon: (socket, id) => {
    socket.write(withLength(id).replace("\r\n", "\r\nconnection: close\r\n"))
    setImmediate(() => socket.write(EVIL))
  },
  cut: (socket, id) => socket.end(withLength(id).slice(0, -1)),
  reset: (socket) => socket.resetAndDestroy(),
  resetWithin: (socket, id) => {
    socket.write(withLength(id).slice(0, -1))
    setImmediate(() => socket.resetAndDestroy())
  },
  close: (socket) => socket.end(),
  garbage: (socket) => socket.write("\0\0\0\0garbage\r\n\r\n"),
  smuggle: (socket) =>
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${EVIL}`),
}
const LEAVES = ["", "", "", "at once", "connect", "head", "data", "pauses"] as const

function withLength(id: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: ${id.length}\r\n\r\n${id}`
}

test("whatever the server does, no call gets another's answer, and each ends exactly once", async () => {
  const server = await startRawServer((socket, _index, text) => {
    const [, act = "", id = ""] = / \/(\w+)\/(\w+) /.exec(text) ?? []
    ACTS[act]?.(socket, id)
  })
  const pool = openPool(server.origin, { connectionsMax: 6 })
  let serial = 0
  let whole = 0
  const plan = fc.record({ act: fc.constantFrom(...Object.keys(ACTS)), leaves: fc.constantFrom(...LEAVES) })
  await fc.assert(
    fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 60 }), async (plans) => {
      const asked = plans.map(async ({ act, leaves }) => {
        const id = `id${++serial}x`
        const asking = new Asking()
        asking.onEvent = (event, call) => event === leaves && call?.abort(new Error("left"))
        if (leaves === "pauses") {
          asking.isWanted = () => false
          asking.onEvent = (event, call) => event === "data" && setImmediate(() => call?.resume())
        }
        const call = pool.dispatch(request({ path: `/${act}/${id}` }), asking)
        if (leaves === "at once") call.abort(new Error("left"))
        const { body, error, events } = await asking.over
        await new Promise((resolve) => setImmediate(resolve))
        expect(events.filter((event) => event === "complete" || event === "error").length).toBe(1)
        expect(id.startsWith(body)).toBe(true)
        if (error === null) expect(body).toBe(id)
        if (error === null) whole++
      })
      await Promise.all(asked)
      expect(pool.connections).toBeLessThanOrEqual(6)
    }),
    { numRuns: 60 },
  )
  expect(whole).toBeGreaterThan(serial / 10)
  await pool.close(2_000)
  expect(pool.connections).toBe(0)
  await server.stop()
})
