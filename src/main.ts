/** The command line: names the command, gives it the process, and turns what it returns into an exit code. */
import cluster from "node:cluster"
import { findCommand } from "./cli/commands.ts"
import { helpText, listCommands } from "./cli/help.ts"
import { version } from "./platform/version.ts"

async function run(args: readonly string[]): Promise<number> {
  const [first = "serve", ...others] = args
  if (["--version", "-v"].includes(first)) {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  if (["--help", "-h"].includes(first) || (first === "help" && others.length === 0)) {
    process.stdout.write(helpText())
    return 0
  }
  // Not for a shell: what a supervisor starts.
  if (first === "worker" && cluster.isWorker) return (await import("./cli/worker.ts")).runWorker()
  return dispatch(first === "help" ? [...others, "--help"] : [first, ...others])
}

async function dispatch(args: readonly string[]): Promise<number> {
  const found = findCommand(args)
  if (found.kind === "command") {
    const runCommand = await found.command.load()
    return runCommand(found.rest, process.env, process.cwd(), process)
  }
  if (found.kind === "group" && ["--help", "-h"].includes(args[1] ?? "")) {
    process.stdout.write(listCommands(found.commands))
    return 0
  }
  const there =
    found.kind === "group"
      ? `there are:\n\n${listCommands(found.commands)}`
      : "`tallygate --help` lists those there are.\n"
  process.stderr.write(`tallygate: there is no command \`${args.slice(0, 2).join(" ")}\`; ${there}`)
  return 2
}

process.exitCode = await run(process.argv.slice(2))
