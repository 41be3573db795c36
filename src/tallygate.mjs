#!/usr/bin/env node
// The door for whatever Node started npm: hands over to the pinned runtime, since older ones cannot run TypeScript as
// written. `--run FILE …` runs another program of the project (its tests) on that same runtime. Plain JavaScript that
// every Node from 20 on understands; everything else is TypeScript.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import path from "node:path"
import { fileURLToPath } from "node:url"

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const pinned = path.join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node")
const MAJOR_NEEDED = 24
// A young generation of 64 MB in place of 16: fewer collections find calls under way, and fewer of those objects outlive
// their call. It costs that much memory more (docs/performance.md).
const RUNTIME_FLAGS = ["--max-semi-space-size=64", "--min-semi-space-size=64"]

const isOwnRuntimeEnough = Number(process.versions.node.split(".")[0]) >= MAJOR_NEEDED
const runtime = existsSync(pinned) ? pinned : isOwnRuntimeEnough ? process.execPath : null
if (runtime === null) {
  process.stderr.write(
    `Tallygate runs on Node ${MAJOR_NEEDED}, which npm brings along; it is missing here (this is ${process.version}). ` +
      "Run `npm ci` without --ignore-scripts, or `npm rebuild node`.\n",
  )
  process.exit(1)
}

const given = process.argv.slice(2)
const [program = "", ...args] = given[0] === "--run" ? given.slice(1) : [path.join(root, "src", "main.ts"), ...given]
const bin = path.dirname(runtime)
const child = spawn(runtime, [...RUNTIME_FLAGS, program, ...args], {
  stdio: "inherit",
  env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ""}` },
})
// A terminal sends Ctrl-C to the child as well; a supervisor sends SIGTERM to this process alone.
process.on("SIGINT", () => undefined)
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
// npm starts scripts through a shell that dies of SIGTERM without passing it on; an orphan of npm ends by itself.
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    child.kill("SIGTERM")
  }, 250)
  watch.unref()
}
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
