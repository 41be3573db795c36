import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse } from "yaml"
import { asUser, cloneProject } from "../support/fresh-clone.ts"
import { freePort, type Running, run, startTallygate } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

/** What a supervisor usually grants before it kills. */
const STOP_MS_MAX = 15_000

/** The space in its name is what a path that is not quoted or decoded stumbles over. */
const folder = mkdtempSync(path.join(tmpdir(), "tallygate first run "))
const clone = path.join(folder, "tallygate")

let running: Running | undefined
beforeAll(() => cloneProject(clone))
afterAll(async () => {
  running?.process.kill("SIGTERM")
  await running?.exited
  rmSync(folder, { recursive: true, force: true })
})

/** `npm start` as the README says it; the port alone is not the README's, since tests need a free one. */
async function npmStart(): Promise<Running> {
  const port = await freePort()
  running = await startTallygate(asUser(["npm", "start"], { PORT: String(port) }), { cwd: clone, port })
  return running
}

/** The shell blocks of the README, in order. */
function readmeBlocks(): string[] {
  const readme = readFileSync(path.join(clone, "README.md"), "utf8")
  return [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? "")
}

/** Pastes into a shell and returns what came on standard output. */
async function paste(text: string, env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)("bash", ["-c", text], { env: { PATH: process.env.PATH ?? "", ...env } })
  return stdout
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}

type Process = { readonly pid: number; readonly parentPid: number; readonly args: string }

/** Processes that run; one that has ended and that nobody has collected does not. */
function processes(): Process[] {
  const listed = execFileSync("ps", ["-ww", "-eo", "pid=,ppid=,stat=,args="]).toString()
  return [...listed.matchAll(/^ *(\d+) +(\d+) +([^Z\s]\S*) +(.*)$/gm)].map(([, pid, parentPid, , args]) => ({
    pid: Number(pid),
    parentPid: Number(parentPid),
    args: args ?? "",
  }))
}

function processTree(root: number | undefined): Process[] {
  const all = processes()
  const tree = all.filter(({ pid }) => pid === root)
  for (const parent of tree) tree.push(...all.filter(({ parentPid }) => parentPid === parent.pid))
  return tree
}

/** Ends `npm` as a supervisor does, and waits until nothing of it is left. */
async function stop(started: Running): Promise<void> {
  const tree = processTree(started.process.pid)
  expect(tree.filter(({ args }) => /main\.ts serve|embedded-postgres-child/.test(args))).toHaveLength(2)
  started.process.kill("SIGTERM")
  await until(async () => {
    const left = processes().filter(({ pid }) => tree.some((process) => process.pid === pid))
    return left.length === 0 ? true : undefined
  }, STOP_MS_MAX)
  await started.exited
}

/** A decimal in units of 10^-places, exactly. */
function scaled(decimal: string, places: number): bigint {
  const [whole = "", fraction = ""] = decimal.split(".")
  if (!/^\d+$/.test(whole + fraction) || fraction.length > places) throw new Error(`not such a decimal: ${decimal}`)
  return BigInt(whole + fraction.padEnd(places, "0"))
}

type Answer = {
  id: string
  choices: { message: { content: string } }[]
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } }
}

/** What the shipped price list asks for this usage, in pico-dollars: its rates are dollars per million tokens. */
function sandboxCostPicos({ usage }: Answer): bigint {
  // The schema without numbers: rates stay the decimals that they are.
  const book = parse(readFileSync(path.join(clone, "config/prices/sandbox.yaml"), "utf8"), { schema: "failsafe" })
  const rates: Record<string, string> = book.models.echo.rates.standard
  const cached = usage.prompt_tokens_details.cached_tokens
  return (
    BigInt(usage.prompt_tokens - cached) * scaled(rates.input ?? "", 6) +
    BigInt(cached) * scaled(rates.cache_read ?? "", 6) +
    BigInt(usage.completion_tokens) * scaled(rates.output ?? "", 6)
  )
}

describe("the first run, by the README", () => {
  let url: string
  let printed: string
  let virtualKey: string
  let adminKey: string
  let recordId: string
  let first: Running

  async function admin(method: string, route: string, body?: unknown) {
    const response = await fetch(`${url}/admin/v1${route}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return response.json()
  }

  async function call(key: string): Promise<number> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hi" }] }),
    })
    await response.text()
    return response.status
  }

  test("npm start listens within a minute, and prints base URL, both keys and a curl line once", async () => {
    expect(readmeBlocks()[0]).toBe("npm ci && npm start\n")
    first = await npmStart()
    url = first.url
    printed = await until(async () => (first.output().includes("OPENAI_API_KEY=tg_") ? first.output() : undefined))
    virtualKey = /^ {2}Virtual key +(tg_\w{12}_\w{38})$/m.exec(printed)?.[1] ?? ""
    adminKey = /^ {2}Admin key +(tga_\w{38})$/m.exec(printed)?.[1] ?? ""
    expect(virtualKey).not.toBe("")
    expect(adminKey).not.toBe("")
    expect(printed).toContain(`  Base URL      ${url}/v1\n`)
  }, 90_000)

  test("the pinned runtime serves, whatever Node started npm", () => {
    const runtime = path.join(clone, "node_modules/node/bin/node")
    const serving = processTree(first.process.pid).map(({ args }) => args)
    expect(serving).toContain(`${runtime} ${path.join(clone, "src/main.ts")} serve`)
  })

  test("the curl line works as pasted, and its record can be worked out by hand", async () => {
    const answer: Answer = JSON.parse(await paste(/^ {2}(curl .*)$/m.exec(printed)?.[1] ?? ""))
    expect(answer.choices[0]?.message.content).toContain("sandbox")
    const record = await until(async () => (await admin("GET", "/usage/records")).data[0])
    recordId = record.id
    expect(record).toMatchObject({
      provider_response_id: answer.id,
      provider: "sandbox",
      usage_source: "provider",
      end_state: "complete",
      input_uncached_tokens: answer.usage.prompt_tokens - answer.usage.prompt_tokens_details.cached_tokens,
      cache_read_tokens: answer.usage.prompt_tokens_details.cached_tokens,
      output_tokens: answer.usage.completion_tokens,
      price_state: "priced",
    })
    expect(answer.usage.completion_tokens).toBeGreaterThan(0)
    expect(scaled(record.cost_usd, 12)).toBe(sandboxCostPicos(answer))
  })

  test("the README's own lines make a key, sum up the usage and find the record", async () => {
    const blockWith = (text: string) => {
      const block = readmeBlocks().find((candidate) => candidate.includes(text)) ?? ""
      expect(block).toContain("http://127.0.0.1:8787/")
      return block.replaceAll("http://127.0.0.1:8787", url)
    }
    const made = JSON.parse(await paste(blockWith("/admin/v1/keys"), { ADMIN_KEY: adminKey }))
    expect(made.key).toMatch(/^tg_\w{12}_\w{38}$/)
    expect(made).toMatchObject({ name: "search team", allowed_models: ["gpt-*"] })
    expect(made.limits).toMatchObject([
      { kind: "usd", window: "month", cap: "200" },
      { kind: "requests", window: "minute", cap: "600" },
    ])
    const reading = blockWith("usage/summary").replace("request_id=…", `request_id=${recordId}`)
    const [summary, records] = await Promise.all(
      reading
        .trim()
        .split("\n")
        .map(async (line) => JSON.parse(await paste(line, { ADMIN_KEY: adminKey }))),
    )
    expect(records.data).toHaveLength(1)
    expect(summary.totals).toMatchObject({ records: 1, cost_usd: records.data[0].cost_usd })
    expect(records.data[0].id).toBe(recordId)
  })

  test("SIGTERM to npm ends all of it, and a restart keeps everything, counts on and prints no secret", async () => {
    const limits = [{ kind: "requests", window: "day", cap: 2 }]
    const { key: twoADay } = await admin("POST", "/keys", { name: "two a day", limits })
    expect(await call(twoADay)).toBe(200)
    await stop(first)

    const second = await npmStart()
    url = second.url
    expect(await call(virtualKey)).toBe(200)
    expect((await admin("GET", `/usage/records?request_id=${recordId}`)).data).toHaveLength(1)
    expect([await call(twoADay), await call(twoADay)]).toEqual([200, 429])
    // The pasted line, two calls of the limited key, one of the first key; the refusal is no record.
    await until(async () => ((await admin("GET", "/usage/summary")).totals.records === 4 ? true : undefined))
  }, 120_000)

  test("a second Tallygate on the same data is refused in a line with the pid of the first", async () => {
    const serving = processTree(running?.process.pid).find(({ args }) => args.endsWith("src/main.ts serve"))
    const command = asUser(["node", "src/tallygate.mjs"], { PORT: String(await freePort()) })
    const { code, output } = await run(command, { cwd: clone })
    expect(code).toBe(1)
    const lines = output.split("\n").filter((line) => line !== "" && !line.startsWith("note: "))
    expect(lines).toEqual([expect.stringMatching(/^Tallygate did not start: .* is in use by process \d+, started by/)])
    expect(lines[0]).toMatch(new RegExp(`\\bprocess ${serving?.pid}$`))
    expect(await call(virtualKey)).toBe(200)
  }, 60_000)

  test("secrets were shown once in all that both starts have printed", async () => {
    if (running !== undefined) await stop(running)
    const lines = (first.output() + (running?.output() ?? "")).split("\n")
    const logged = lines.filter((line) => line.startsWith("{")).join("\n")
    const said = lines.filter((line) => !line.startsWith("{")).join("\n")
    expect(logged).not.toMatch(/\btga?_\w{12}/)
    for (const text of ["Base URL", "Virtual key", "  curl ", adminKey]) expect(count(said, text)).toBe(1)
    // Its own line, the curl line, and the line for SDKs; no other virtual key is ever printed.
    expect([count(said, virtualKey), said.match(/\btg_\w{12}/g)?.length]).toEqual([3, 3])
  }, 30_000)
})
