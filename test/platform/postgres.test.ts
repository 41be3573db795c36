/** Errors of the driver are told apart by what may be done about them. */
import { createServer } from "node:net"
import postgres from "postgres"
import { expect, test } from "vitest"
import { isConnectionLost, isDataError, openPostgres, sqlState } from "../../src/platform/postgres.ts"

function serverError(code: string): Error {
  return Object.assign(Object.create(postgres.PostgresError.prototype) as Error, {
    code,
    message: "as the server said",
  })
}

test.each(["08006", "57P01", "57P02", "57P03", "25P03"])(
  "the server ending the connection (%s) is a lost connection",
  (code) => {
    expect(isConnectionLost(serverError(code))).toBe(true)
    expect(isDataError(serverError(code))).toBe(false)
  },
)

test.each(["22021", "22P05", "22003", "23505", "23514", "23502"])("refused data (%s) is no lost connection", (code) => {
  expect(isDataError(serverError(code))).toBe(true)
  expect(isConnectionLost(serverError(code))).toBe(false)
})

test.each(["42P01", "40001", "53100"])("another fault of the server (%s) is neither", (code) => {
  expect([isDataError(serverError(code)), isConnectionLost(serverError(code))]).toEqual([false, false])
})

test("a five-letter system error is not taken for an SQLSTATE", () => {
  const broken = Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
  expect(sqlState(broken)).toBeUndefined()
  expect(isConnectionLost(broken)).toBe(true)
})

test("what caused an error counts, and a chain of causes that bites its tail ends", () => {
  expect(sqlState(new Error("batch failed", { cause: serverError("23505") }))).toBe("23505")
  const circle = new Error("circle")
  circle.cause = circle
  expect([sqlState(circle), isConnectionLost(circle), isDataError(undefined)]).toEqual([undefined, false, false])
})

test("nobody listening, and a listener that hangs up, are lost connections", async () => {
  const server = createServer((socket) => void socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0
  const ask = async () => {
    const sql = openPostgres(`postgres://u:p@127.0.0.1:${port}/postgres`, { max: 1, applicationName: "test" })
    const abort = setTimeout(() => void sql.end({ timeout: 0 }), 500)
    const error = await sql`SELECT 1`.catch((cause: unknown) => cause)
    clearTimeout(abort)
    await sql.end({ timeout: 0 })
    return error
  }
  expect(isConnectionLost(await ask())).toBe(true)
  await new Promise((resolve) => server.close(resolve))
  expect(isConnectionLost(await ask())).toBe(true)
})
