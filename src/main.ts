/** The command line: names the command, gives it the process, and turns what it returns into an exit code. */
import cluster from "node:cluster"
import { runConfigCheck } from "./cli/config-check.ts"
import { HELP } from "./cli/help.ts"
import { serve } from "./cli/serve.ts"
import { runWorker } from "./cli/worker.ts"
import { version } from "./platform/version.ts"

async function run(args: readonly string[]): Promise<number> {
  const [command = "serve", ...rest] = args
  const out = { stdout: process.stdout, stderr: process.stderr }
  if (args.includes("--help") || args.includes("-h") || command === "help") {
    process.stdout.write(HELP)
    return 0
  }
  if (args.includes("--version") || args.includes("-v")) {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  // Not for a shell: what a supervisor starts.
  if (command === "worker" && cluster.isWorker) return runWorker()
  if (command === "serve" && rest.length === 0) return serve(process.env, process.cwd())
  if (command === "config" && rest[0] === "check") return runConfigCheck(rest.slice(1), process.env, process.cwd(), out)
  process.stderr.write(
    `tallygate: there is no command \`${args.join(" ")}\`; \`tallygate --help\` lists those there are.\n`,
  )
  return 2
}

process.exitCode = await run(process.argv.slice(2))
