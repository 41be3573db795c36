/** The port: free, or taken by a Tallygate that runs; anything else there keeps a start from listening. */
import { once } from "node:events"
import { get as getHttp, type IncomingMessage } from "node:http"
import { get as getHttps } from "node:https"
import { createServer } from "node:net"
import { json } from "node:stream/consumers"
import { z } from "zod"
import { type ListenerConfig, listenersOf } from "../../config/listeners.ts"
import type { Config } from "../../config/load.ts"
import { type Finding, ok, problem, skipped } from "./finding.ts"

const HEALTH_MS_MAX = 3_000
const health = z.object({ status: z.literal("alive"), version: z.string() })

export function checkPorts(config: Config): Promise<Finding[]> {
  return Promise.all(
    listenersOf(config).map(({ name, at }) => checkPort(name === "listen" ? "port" : `port of ${name}`, at)),
  )
}

async function checkPort(check: string, at: ListenerConfig): Promise<Finding> {
  const { host, port } = at
  const place = `${host}:${port}`
  if (port === 0) return skipped(check, "any free one is taken (port 0)")
  const code = await listenFault(host, port)
  if (code === null) return ok(check, `${place} is free`)
  if (code === "EADDRINUSE") {
    const version = await runningVersion(at)
    if (version !== null) return ok(check, `Tallygate ${version} listens on ${place}`)
    const fix = `Stop what listens there (\`ss -ltnp 'sport = :${port}'\` names it), or set PORT to another one.`
    return problem(check, `${place} is taken by something that is not Tallygate.`, fix)
  }
  if (code === "EACCES") {
    const fix = "Set PORT to 1024 or above, or give the process the right to bind lower ports (CAP_NET_BIND_SERVICE)."
    return problem(check, `This user may not listen on ${place}.`, fix)
  }
  const fix = "Set HOST to an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for all that it has."
  return problem(check, `${place} cannot be listened on (${code}).`, fix)
}

/** What keeps a server from listening there; null for nothing. */
async function listenFault(host: string, port: number): Promise<string | null> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, "listening")
    return null
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code
    throw error
  } finally {
    server.close()
  }
}

/** The version of a Tallygate that answers there; null where something else does, or nothing. */
async function runningVersion({ host, port, tls }: ListenerConfig): Promise<string | null> {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  const options = { host: reached, port, path: "/healthz", signal: AbortSignal.timeout(HEALTH_MS_MAX) }
  // Whose certificate it shows does not matter: nothing secret is sent, and the answer is only looked at.
  const request = tls === undefined ? getHttp(options) : getHttps({ ...options, rejectUnauthorized: false })
  try {
    const [response]: IncomingMessage[] = await once(request, "response")
    const answer = health.safeParse(response === undefined ? null : await json(response))
    return answer.success ? answer.data.version : null
  } catch {
    // Whatever it speaks, it is no Tallygate.
    return null
  } finally {
    request.destroy()
  }
}
