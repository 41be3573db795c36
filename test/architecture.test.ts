/** The law of the house, in code. When it stops you, change the design or argue to change the law. */
import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { describe, expect, test } from "vitest"
import { pageBlocks, pages } from "./support/page-blocks.ts"

const ROOT = path.dirname(import.meta.dirname)
const ROOMS = [
  "platform",
  "metering",
  "identity",
  "pricing",
  "providers",
  "admission",
  "ledger",
  "reporting",
  "alerts",
  "privacy",
  "proxy",
  "admin",
  "config",
  "app",
  "cli",
  "main",
  "dashboard",
]
/** `proxy` and `admin` stand side by side; so do the two ways in. */
const RANK = new Map(
  ROOMS.map((room, index) => [
    room,
    room === "admin" ? ROOMS.indexOf("proxy") : room === "main" ? ROOMS.indexOf("cli") : index,
  ]),
)
/** `main` names the commands of `cli`. */
const MAY_IMPORT_BESIDE = new Set(["main>cli"])
const BANNED_NAMES = /^(utils?|helpers?|common|misc|types|services?|handlers?|managers?|lib)(\.|$)/
const FUNCTION_LINES_MAX = 70
const FILE_LINES_MAX = 400

/** Files that decide and never act: no driver, no clock, no node module. */
const PURE = [
  "metering/usage.ts",
  "metering/model-family.ts",
  "metering/prompt.ts",
  "metering/tool-text.ts",
  "metering/media-tokens.ts",
  "metering/sse.ts",
  "identity/limit.ts",
  "identity/virtual-key.ts",
  "identity/account-limit.ts",
  "identity/provider-account.ts",
  "pricing/money.ts",
  "pricing/price-row.ts",
  "pricing/cost.ts",
  "pricing/worst-case.ts",
  "pricing/price-book.ts",
  "identity/call-caps.ts",
  "identity/provider-object.ts",
  "providers/anthropic-batch.ts",
  "providers/anthropic-messages.ts",
  "providers/anthropic-usage.ts",
  "providers/batch-usage.ts",
  "providers/dialect.ts",
  "providers/endpoint.ts",
  "providers/google-embed.ts",
  "providers/google-generate.ts",
  "providers/google-usage.ts",
  "providers/json-request.ts",
  "providers/json-values.ts",
  "providers/multipart-form.ts",
  "providers/object-call.ts",
  "providers/object-list.ts",
  "providers/object-missing.ts",
  "providers/object-references.ts",
  "providers/openai-audio.ts",
  "providers/openai-batch.ts",
  "providers/openai-completions.ts",
  "providers/openai-embeddings.ts",
  "providers/openai-images.ts",
  "providers/openai-responses-usage.ts",
  "providers/openai-responses.ts",
  "providers/batch-requests.ts",
  "proxy/error-shape.ts",
  "providers/http1-chunks.ts",
  "providers/http1-head.ts",
  "providers/http1-request.ts",
  "providers/http1-response.ts",
  "providers/json-members.ts",
  "providers/openai-chat.ts",
  "providers/openai-event-shape.ts",
  "providers/openai-usage.ts",
  "providers/router.ts",
  "providers/account-choice.ts",
  "providers/provider-rules.ts",
  "admission/limits.ts",
  "admission/window.ts",
  "admission/refusal-text.ts",
  "admission/limit-store.ts",
  "admission/counter.ts",
  "admission/breaker.ts",
  "admission/sights.ts",
  "admission/local-share.ts",
  "admission/waiting-settles.ts",
  "ledger/usage-record.ts",
  "alerts/alert-message.ts",
  "alerts/chat-bodies.ts",
  "alerts/delivery-delay.ts",
  "alerts/limit-facts.ts",
  "alerts/mail-text.ts",
  "alerts/tell-decision.ts",
  "alerts/thresholds.ts",
  "reporting/anomaly.ts",
  "reporting/projection-days.ts",
  "reporting/projection.ts",
  "proxy/call-estimate.ts",
  "proxy/usage-filter.ts",
  "platform/glob.ts",
]
const DRIVERS = /^(node:|undici|postgres|pino|prom-client|ioredis|hono|@hono\/|tiktoken)/

const sources = walk(path.join(ROOT, "src")).filter((file) => /\.tsx?$/.test(file))

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name)
    return entry.isDirectory() ? walk(full) : [full]
  })
}

function relative(file: string): string {
  return path.relative(path.join(ROOT, "src"), file).split(path.sep).join("/")
}

function roomOf(file: string): string {
  return relative(file).split("/")[0]?.replace(/\.ts$/, "") ?? ""
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8")
  return [
    ...text.matchAll(/^(?:import|export)\b[^"';]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? "")
}

/** Whether the file takes only types from there. */
function isTypeImport(file: string, imported: string): boolean {
  const statements = readFileSync(file, "utf8").match(/^(?:import|export)\b[^"';]*?from\s+"[^"]+"/gm) ?? []
  const from = statements.filter((statement) => statement.endsWith(`"${imported}"`))
  return from.length > 0 && from.every((statement) => statement.startsWith("import type "))
}

describe("the architecture", () => {
  test("every file stands in a room", () => {
    expect(sources.length).toBeGreaterThan(50)
    for (const file of sources) expect(ROOMS, relative(file)).toContain(roomOf(file))
  })

  test("a file imports only from its own room and from rooms to its left", () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const imported of importsOf(file).filter((name) => name.startsWith("."))) {
        const target = path.resolve(path.dirname(file), imported)
        const [from, to] = [roomOf(file), roomOf(target)]
        // The browser's program is no part of the server: it may know types of the admin API and nothing else of it.
        if (from === "dashboard" && from !== to && (to !== "admin" || !isTypeImport(file, imported))) {
          wrong.push(`${relative(file)} imports ${to}`)
        }
        const isAllowed =
          from === to || (RANK.get(to) ?? 99) < (RANK.get(from) ?? -1) || MAY_IMPORT_BESIDE.has(`${from}>${to}`)
        if (!isAllowed) wrong.push(`${relative(file)} imports ${to}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test("only the composition root and the ways in see the configuration", () => {
    const wrong = sources.filter(
      (file) =>
        !["config", "app", "cli", "main"].includes(roomOf(file)) &&
        importsOf(file).some((name) => name.includes("/config/")),
    )
    expect(wrong.map(relative)).toEqual([])
  })

  test("files that decide import no driver and read no clock", () => {
    for (const name of PURE) {
      const file = path.join(ROOT, "src", name)
      expect(
        importsOf(file).filter((imported) => DRIVERS.test(imported)),
        name,
      ).toEqual([])
      expect(readFileSync(file, "utf8"), name).not.toMatch(/Date\.now\(|performance\.now\(|Math\.random\(|process\./)
    }
  })

  test("there are no default exports, no banned names, no TypeScript that Node cannot run", () => {
    for (const file of sources) {
      const text = readFileSync(file, "utf8")
      expect(text, relative(file)).not.toMatch(/^export default/m)
      expect(text, relative(file)).not.toMatch(/^(export )?(const )?enum |^(export )?namespace /m)
      for (const part of relative(file).split("/")) expect(part, relative(file)).not.toMatch(BANNED_NAMES)
    }
  })

  test("every file says at its top what it is for", () => {
    for (const file of sources) expect(readFileSync(file, "utf8"), relative(file)).toMatch(/^(#!.*\n)?\/\*\*/)
  })

  test("every script says at its top what it does, and an act its keys, arguments and returns", () => {
    const scripts = walk(path.join(ROOT, "src")).filter((file) => file.endsWith(".lua"))
    expect(scripts.length).toBeGreaterThan(5)
    for (const file of scripts) {
      const header = /^(--.*\n)+/.exec(readFileSync(file, "utf8"))?.[0] ?? ""
      if (header.startsWith("-- Not an act:")) continue
      for (const part of ["KEYS: 1", "ARGV: 1", "Returns: "]) expect(header, relative(file)).toContain(part)
    }
  })

  test("files and functions stay small", () => {
    const long: string[] = []
    for (const file of sources) {
      const lines = readFileSync(file, "utf8").split("\n")
      if (lines.length > FILE_LINES_MAX) long.push(`${relative(file)} has ${lines.length} lines`)
      for (const { name, length } of functionsOf(lines)) {
        if (length > FUNCTION_LINES_MAX) long.push(`${relative(file)} ${name} has ${length} lines`)
      }
    }
    expect(long).toEqual([])
  })

  test("the request handler is not among the ten largest files, and has one exit", () => {
    const bySize = [...sources].sort((a, b) => readFileSync(b).length - readFileSync(a).length).map(relative)
    expect(bySize.indexOf("proxy/handle.ts")).toBeGreaterThanOrEqual(10)
    const text = readFileSync(path.join(ROOT, "src/proxy/handle.ts"), "utf8")
    expect(text.match(/\bfinish\(/g)).toHaveLength(1)
  })

  test("migrations are numbered without gaps and say what they are for", () => {
    const files = readdirSync(path.join(ROOT, "migrations")).sort()
    files.forEach((file, index) => {
      expect(file).toMatch(new RegExp(`^${String(index + 1).padStart(4, "0")}_[a-z_]+\\.sql$`))
      expect(readFileSync(path.join(ROOT, "migrations", file), "utf8")).toMatch(/^-- \S/)
    })
  })

  test("one package alone may run an install script: the pinned runtime", () => {
    const lock = JSON.parse(readFileSync(path.join(ROOT, "package-lock.json"), "utf8"))
    const scripted = Object.entries<{ hasInstallScript?: boolean; optional?: boolean }>(lock.packages)
      .filter(([, entry]) => entry.hasInstallScript === true && entry.optional !== true)
      .map(([name]) => name)
    expect(scripted).toEqual(["node_modules/node"])
  })

  test("every block of the pages names the test that runs it, or says why it is shown only", () => {
    const blocks = pages().flatMap(pageBlocks)
    expect(blocks.length).toBeGreaterThan(100)
    for (const { page, line, said } of blocks) {
      expect(said.kind, `${page}:${line} has no mark above it (test/support/page-blocks.ts)`).not.toBe("nothing")
      if (said.kind !== "runs") continue
      // A test that has the page's blocks asks for those that are marked as its own, or for the page as a whole.
      const test = readFileSync(path.join(ROOT, said.test), "utf8")
      const asks = test.includes(page) || test.includes("pages()") || test.includes("committedPage()")
      expect(asks, `${page}:${line} names ${said.test}, which does not read it`).toBe(true)
    }
  })

  test("no file names a machine's path or a registry", () => {
    const folders = ["test", "docs", "examples"].flatMap((folder) => walk(path.join(ROOT, folder)))
    const files = [...sources, ...folders]
    for (const file of files.filter(
      (name) => /\.(ts|md|yaml|py|sh)$/.test(name) && !name.endsWith("architecture.test.ts"),
    )) {
      expect(readFileSync(file, "utf8"), file).not.toMatch(/\/work\/|\.\.\/shared|registry\.npmjs|deb\.debian/)
    }
  })
})

/** Functions and methods by their indentation: a line that opens one, until the brace at the same depth. */
function functionsOf(lines: readonly string[]): { name: string; length: number }[] {
  const found: { name: string; length: number }[] = []
  lines.forEach((line, start) => {
    const match =
      /^(\s*)(?:export )?(?:async )?(?:function\*? (\w+)|(?:static |override |async )*(#?\w+)\([^)]*\)?.*\{$)/.exec(
        line,
      )
    if (match === null || /^\s*(if|for|while|switch|return|catch)\b/.test(line)) return
    const end = lines.findIndex(
      (other, index) => index > start && (other === `${match[1]}}` || other === `${match[1]}},`),
    )
    if (end > 0) found.push({ name: match[2] ?? match[3] ?? "", length: end - start + 1 })
  })
  return found
}
