/**
 * How connections come to several workers, and what a worker that is killed takes with it: one listening socket that all
 * inherit, beside a socket each with SO_REUSEPORT. Run by `node test/bench/workers.ts`; the figures stand in
 * docs/workers.md.
 */
import { type ChildProcess, fork } from "node:child_process"
import cluster from "node:cluster"
import { once } from "node:events"
import { Agent, createServer, get } from "node:http"
import { setTimeout as wait } from "node:timers/promises"
import { freePort } from "../../src/app/free-port.ts"

type Way = "shared" | "reuseport"
type Counts = Record<string, number>

const WORKERS = 2
/** What a call keeps its worker busy, so that connections queue. */
const BUSY_MS = 2

function serve(): void {
  const { BENCH_WAY, BENCH_PORT, BENCH_WORKER } = process.env
  const server = createServer((_, response) => {
    const until = performance.now() + BUSY_MS
    while (performance.now() < until);
    response.end(BENCH_WORKER)
  })
  const listening = { host: "127.0.0.1", port: Number(BENCH_PORT), backlog: 4096 }
  server.listen({ ...listening, reusePort: BENCH_WAY === "reuseport" }, () => process.send?.("listening"))
}

async function startWorker(way: Way, port: number, worker: number): Promise<ChildProcess> {
  const env = { ...process.env, BENCH_WAY: way, BENCH_PORT: String(port), BENCH_WORKER: `worker ${worker}` }
  const child = way === "shared" ? cluster.fork(env).process : fork(import.meta.filename, { env })
  for await (const [message] of onMessages(child)) if (message === "listening") break
  return child
}

async function* onMessages(child: ChildProcess): AsyncGenerator<unknown[]> {
  for (;;) yield await once(child, "message")
}

function call(port: number, agent: Agent | false): Promise<string> {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, agent }, async (response) => {
      const chunks = await response.toArray().catch((error: NodeJS.ErrnoException) => [error.code])
      resolve(chunks.join(""))
    })
    request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

function tally(answers: readonly string[]): Counts {
  const counts: Counts = {}
  for (const answer of answers.toSorted()) counts[answer] = (counts[answer] ?? 0) + 1
  return counts
}

async function measure(way: Way): Promise<Record<string, Counts>> {
  const port = await freePort()
  const children = [await startWorker(way, port, 0), await startWorker(way, port, 1)]
  const many = (count: number, agent: Agent | false) =>
    Promise.all(Array.from({ length: count }, () => call(port, agent)))
  const atOnce = tally(await many(200, false))
  const agent = new Agent({ keepAlive: true, maxSockets: 200 })
  const kept: string[] = []
  for (let round = 0; round < 10; round++) kept.push(...(await many(200, agent)))
  agent.destroy()

  const calls: Promise<string>[] = []
  for (let tick = 0; tick < 150; tick++) {
    if (tick === 50) children[0]?.kill("SIGKILL")
    if (tick === 60) children.push(await startWorker(way, port, 0))
    for (let index = 0; index < 20; index++) calls.push(call(port, false))
    await wait(20)
  }
  const throughDeath = tally(await Promise.all(calls))
  for (const child of children) child.kill("SIGKILL")
  return {
    "200 connections at once": atOnce,
    "2000 calls on 200 kept connections": tally(kept),
    "3000 fresh connections, one of the workers killed": throughDeath,
  }
}

if (process.env.BENCH_WAY !== undefined) serve()
else {
  cluster.schedulingPolicy = cluster.SCHED_NONE
  for (const way of ["shared", "reuseport"] as const) {
    process.stdout.write(`${way}, ${WORKERS} workers, ${BUSY_MS} ms a call\n`)
    for (const [name, counts] of Object.entries(await measure(way)))
      process.stdout.write(`  ${name}: ${JSON.stringify(counts)}\n`)
  }
}
