import { Hono } from "hono"
import { expect, test } from "vitest"
import type { AdminEnv } from "../../src/admin/admin-app.ts"
import { requirePrivacy } from "../../src/admin/session-cookie.ts"
import { ApiError } from "../../src/platform/error-table.ts"

async function logIn(socket: object, isBehindTls: boolean): Promise<string> {
  const app = new Hono<AdminEnv>()
  app.get("/", (context) => {
    requirePrivacy(context, isBehindTls)
    return context.text("passed")
  })
  app.onError((error, context) =>
    context.text(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error)),
  )
  const response = await app.request("/", {}, { incoming: { socket } })
  return response.text()
}

test.each(["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])(
  "log-in from this machine (%s) may be plain",
  async (remoteAddress) => {
    expect(await logIn({ remoteAddress }, false)).toBe("passed")
  },
)

test.each(["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "::12", "1127.0.0.1", "", undefined])(
  "log-in from elsewhere (%s) takes HTTPS: of our own, or of a proxy that is declared",
  async (remoteAddress) => {
    const refused = await logIn({ remoteAddress }, false)
    expect(refused).toMatch(/^not_permitted: .*sessions\.behind_tls: true/)
    expect(await logIn({ remoteAddress, encrypted: true }, false)).toBe("passed")
    expect(await logIn({ remoteAddress }, true)).toBe("passed")
  },
)
