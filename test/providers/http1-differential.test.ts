/**
 * Our client beside undici's, over sockets, on the same bytes: where they disagree, the case stands below with the
 * reason. A new disagreement fails the test, and so does one that is gone.
 */
import { type Dispatcher, Pool } from "undici"
import { afterAll, beforeAll, expect, test } from "vitest"
import { BROKEN_ANSWERS, GOOD_ANSWERS, OK } from "../support/http1-answers.ts"
import { ask, openPool } from "../support/http1-asking.ts"
import { type RawServer, startRawServer } from "../support/raw-server.ts"

const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
/** The server writes one of these and closes. */
const ANSWERS: Readonly<Record<string, string>> = {
  ...BROKEN_ANSWERS,
  ...Object.fromEntries(Object.entries(GOOD_ANSWERS).map(([name, { text }]) => [`an answer ${name}`, text])),
  nothing: "",
  "half a status line": "HTTP/1.1 20",
  "half a head": `${OK}content-le`,
  "a body that is cut": `${OK}content-length: 10\r\n\r\nhello`,
  "a chunk that is cut": `${CHUNKED}a\r\nhello`,
  "a chunk's size that is cut": `${CHUNKED}5\r\nhello\r\n1`,
  "no last chunk": `${CHUNKED}5\r\nhello\r\n`,
  "a last chunk that is cut": `${CHUNKED}5\r\nhello\r\n0\r\n`,
  "trailers that are cut": `${CHUNKED}0\r\nx: 1\r\n`,
  "a body until the close": `${OK}\r\nhello`,
  "an HTTP/1.0 body until the close": "HTTP/1.0 200 OK\r\n\r\nhello",
  "only an interim answer": "HTTP/1.1 100 Continue\r\n\r\n",
  "a status of 599": "HTTP/1.1 599 Odd\r\ncontent-length: 2\r\n\r\n{}",
  "a status of 999": "HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n{}",
  "a 204 with a length": "HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n",
  "a 205 with a body": "HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\n{}",
  "255 headers": `${OK}${"x-a: 1\r\n".repeat(254)}content-length: 0\r\n\r\n`,
  "a value in latin1": `${OK}x-a: \xe4\xf6\r\ncontent-length: 2\r\n\r\n{}`,
  "a keep-alive of nonsense": `${OK}keep-alive: timeout=never\r\ncontent-length: 2\r\n\r\n{}`,
  "a quoted extension with a semicolon": `${CHUNKED}2;a="x;y"\r\n{}\r\n0\r\n\r\n`,
  "an answer and the beginning of another": `${OK}content-length: 2\r\n\r\n{}${OK}`,
}

/** Where undici does otherwise: `accepts` what we refuse, or `refuses` what we accept. */
const DISAGREEMENTS: Readonly<Record<string, { readonly undici: "accepts" | "refuses"; readonly why: string }>> = {
  "257 headers": { undici: "accepts", why: "a head's size bounds undici, its number of headers bounds us as well" },
  "33 interim answers": { undici: "accepts", why: "a server that never comes to its answer is not waited for" },
  "a blank line first": {
    undici: "accepts",
    why: "RFC 9112 2.2 lets servers skip it, not clients: it may be a stray end",
  },
  "a coding that is not chunked": {
    undici: "accepts",
    why: "undici reads to the close; no such coding can be undone here",
  },
  "chunked with a tab within": { undici: "accepts", why: "as above: an unknown coding, close to one that is known" },
  "chunked, then identity": {
    undici: "accepts",
    why: "RFC 9112 7: chunked must be last; identity is no coding any more",
  },
  "a 204 with a length": { undici: "refuses", why: "undici misses the body; RFC 9112 6.3: such an answer has none" },
  "an answer with status 304 and a length": {
    undici: "refuses",
    why: "as above; the length is that of what was not sent",
  },
  "an answer after interim answers": { undici: "refuses", why: "undici takes a 100 that nobody asked for as an error" },
}

type Outcome = { readonly kind: "answer"; status: number; body: string } | { readonly kind: "error" }

const names = Object.keys(ANSWERS)
let server: RawServer

beforeAll(async () => {
  server = await startRawServer((socket, _index, head) => {
    const at = Number(/ \/(\d+) /.exec(head)?.[1])
    socket.end(Buffer.from(ANSWERS[names[at] ?? ""] ?? "", "latin1"))
  })
})

afterAll(() => server.stop())

function undiciOutcome(pool: Pool, path: string): Promise<Outcome> {
  return new Promise((resolve) => {
    let status = 0
    let body = ""
    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(code: number) {
        if (code >= 200) status = code
        return true
      },
      onData(chunk: Buffer) {
        body += chunk.toString("latin1")
        return true
      },
      onComplete: () => resolve({ kind: "answer", status, body }),
      onError: () => resolve({ kind: "error" }),
    }
    pool.dispatch({ path, method: "POST", headers: [], body: "{}" }, handler)
  })
}

test("we and undici accept and refuse the same answers, but for those that are listed with a reason", async () => {
  expect(names.length).toBeGreaterThan(100)
  const undici = new Pool(server.origin, { connections: 16 })
  const own = openPool(server.origin)
  const found: Record<string, string> = {}
  for (const [at, name] of names.entries()) {
    const theirs = await undiciOutcome(undici, `/${at}`)
    const told = await ask(own, { path: `/${at}` })
    const ours: Outcome =
      told.error === null ? { kind: "answer", status: told.status, body: told.body } : { kind: "error" }
    if (ours.kind === theirs.kind) expect(ours, name).toEqual(theirs)
    else found[name] = theirs.kind === "answer" ? "accepts" : "refuses"
  }
  await undici.destroy()
  await own.close(0)
  const listed = Object.entries(DISAGREEMENTS).map(([name, { undici }]) => [name, undici])
  expect(found).toEqual(Object.fromEntries(listed))
})
