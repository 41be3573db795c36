/**
 * No Docker engine builds the image here. Its file is read instead, and what it would copy is copied into a folder and
 * started as the image would start it, with nothing beside it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, describe, expect, inject, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { configSchema } from "../../src/config/schema.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { run } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"
import { deployText, PROJECT } from "./deploy-files.ts"

type Instruction = readonly [name: string, rest: string]

const instructions = instructionsOf(deployText("Dockerfile"))
const [packages = [], dashboard = [], image = []] = stagesOf(instructions)
const dependencies: Record<string, string> = JSON.parse(
  readFileSync(path.join(PROJECT, "package.json"), "utf8"),
).dependencies

/** One instruction a line, comments left out, continued lines joined. */
function instructionsOf(text: string): Instruction[] {
  const joined = text.replace(/^#.*\n/gm, "").replace(/\\\n/g, " ")
  return joined
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+) +(.*)$/.exec(line) ?? []
      return [name, rest.replace(/ +/g, " ").trim()]
    })
}

function stagesOf(all: readonly Instruction[]): Instruction[][] {
  const starts = all.flatMap(([name], index) => (name === "FROM" ? [index] : []))
  return starts.map((start, index) => all.slice(start, starts[index + 1]))
}

function all(stage: readonly Instruction[], name: string): string[] {
  return stage.filter(([found]) => found === name).map(([, rest]) => rest)
}

function only(stage: readonly Instruction[], name: string): string {
  const found = all(stage, name)
  if (found.length !== 1) throw new Error(`there are ${found.length} ${name}`)
  return found[0] ?? ""
}

/** What is copied from the repository: sources, and the folder or file they become. */
function copies(stage: readonly Instruction[]): { from: string; to: string }[] {
  return all(stage, "COPY")
    .filter((rest) => !rest.startsWith("--from"))
    .flatMap((rest) => {
      const words = rest.split(" ")
      const to = words.at(-1) ?? ""
      return words.slice(0, -1).map((from) => ({ from, to: to.endsWith("/") ? path.join(to, from) : to }))
    })
}

function environment(): Record<string, string> {
  const pairs = all(image, "ENV").flatMap((rest) => rest.split(" "))
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]))
}

describe("the Dockerfile", () => {
  test("has the runtime that package.json pins, in every stage", () => {
    expect(all(instructions, "FROM")).toEqual([
      `node:${dependencies.node}-bookworm-slim AS packages`,
      `node:${dependencies.node}-bookworm-slim AS dashboard`,
      `node:${dependencies.node}-bookworm-slim`,
    ])
  })

  test("copies what exists, and its ignore file lets all of that through and nothing else", () => {
    const wanted = [packages, dashboard, image].flatMap(copies).map(({ from }) => from)
    for (const from of wanted) expect(existsSync(path.join(PROJECT, from)), from).toBe(true)
    const ignore = deployText("Dockerfile.dockerignore")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
    expect(ignore[0]).toBe("*")
    expect(ignore.slice(1).sort()).toEqual([...new Set(wanted)].map((from) => `!${from}`).sort())
  })

  test("runs as a numbered user that is not root, and keeps no package manager", () => {
    expect(only(image, "USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    const removed = all(image, "RUN").join(" ")
    for (const name of ["node_modules", "npm", "npx", "corepack", "yarn"]) expect(removed).toContain(name)
    expect(removed).not.toMatch(/apt-get|npm (ci|install)|curl|wget/)
    expect(all(packages, "RUN")).toEqual([expect.stringMatching(/^npm ci --omit=dev --ignore-scripts /)])
  })

  test("has the dashboard, built by the program that builds it everywhere", () => {
    const [install, build] = all(dashboard, "RUN")
    expect(install).toMatch(/^npm ci --ignore-scripts /)
    expect(build).toBe("node src/dashboard/build.ts")
    const { scripts } = JSON.parse(readFileSync(path.join(PROJECT, "package.json"), "utf8"))
    expect(scripts["dashboard:build"]).toContain("src/dashboard/build.ts")
    expect(all(image, "COPY")).toContain("--from=dashboard /app/.dashboard ./.dashboard")
  })

  test("has one volume, the data folder, and ends by the signal that drains", () => {
    expect(all(image, "VOLUME")).toEqual([environment().TALLYGATE_DATA])
    expect(only(image, "STOPSIGNAL")).toBe("SIGTERM")
    expect(configSchema.parse({}).listen.port).toBe(Number(only(image, "EXPOSE")))
  })
})

describe("what the image is made of", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "tallygate-image-"))
  let started: ChildProcess | null = null

  afterAll(async () => {
    if (started !== null && started.exitCode === null) {
      const exited = once(started, "exit")
      started.kill("SIGKILL")
      await exited
    }
    rmSync(folder, { recursive: true, force: true })
  })

  /** The packages that `npm ci --omit=dev --ignore-scripts` installs; the runtime's own is an empty shell then. */
  function linkPackages(app: string): void {
    const lock = JSON.parse(readFileSync(path.join(PROJECT, "package-lock.json"), "utf8"))
    const names = Object.entries<{ dev?: boolean }>(lock.packages)
      .filter(([place, { dev }]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(place) && dev !== true)
      .map(([place]) => place)
      .filter((place) => place !== "node_modules/node" && existsSync(path.join(PROJECT, place)))
    for (const name of names) {
      mkdirSync(path.dirname(path.join(app, name)), { recursive: true })
      symlinkSync(path.join(PROJECT, name), path.join(app, name))
    }
  }

  test("starts, answers its own health check, writes to the volume alone, and ends cleanly", async () => {
    const app = path.join(folder, "app")
    for (const { from, to } of copies(image)) cpSync(path.join(PROJECT, from), path.join(app, to), { recursive: true })
    linkPackages(app)
    const before = readdirSync(app, { recursive: true }).sort()
    const data = path.join(folder, "data")
    const PORT = String(await freePort())
    const DATABASE_URL = await createDatabase(inject("postgresUrl"))
    const env = { ...environment(), HOST: "127.0.0.1", PORT, TALLYGATE_DATA: data, DATABASE_URL }
    const [program = "", ...args] = [...JSON.parse(only(image, "ENTRYPOINT")), ...JSON.parse(only(image, "CMD"))]
    expect(program).toBe("node")
    const child = spawn(process.execPath, args, { cwd: app, env, stdio: ["ignore", "pipe", "pipe"] })
    started = child
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text))

    const [check = "", ...checkArgs] = JSON.parse(/CMD (.*)$/.exec(only(image, "HEALTHCHECK"))?.[1] ?? "[]")
    expect(check).toBe("node")
    const isHealthy = () => run([process.execPath, ...checkArgs], { env }).then(({ code }) => code === 0 || undefined)
    await until(isHealthy, 30_000).catch((cause: unknown) => {
      throw new Error(output, { cause })
    })

    expect(readdirSync(app, { recursive: true }).sort()).toEqual(before)
    expect(readdirSync(data)).toEqual(["journal"])
    const exited = once(child, "exit")
    child.kill("SIGTERM")
    expect(await exited).toEqual([0, null])
    expect((await run([process.execPath, ...checkArgs], { env })).code).toBe(1)
  }, 60_000)
})
