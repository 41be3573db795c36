/** Runs a command of the command line in this process, with an environment and a folder of the test's own. */
import type { CommandRun } from "../../src/cli/command.ts"
import { findCommand } from "../../src/cli/commands.ts"

export type Ran = { readonly exitCode: number; readonly stdout: string; readonly stderr: string }

export type RunOptions = {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Whether standard output is a terminal. */
  readonly isTTY?: boolean
}

/** Runs the words as typed after `tallygate`. */
export async function tallygate(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const found = findCommand(words)
  if (found.kind !== "command") throw new Error(`\`${words.join(" ")}\` is no command`)
  return runOf(await found.command.load(), found.rest, options)
}

export async function runOf(command: CommandRun, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" }
  const sink = (name: "stdout" | "stderr", isTTY: boolean) => ({
    isTTY,
    write(text: string) {
      written[name] += text
    },
  })
  const out = { stdout: sink("stdout", options.isTTY === true), stderr: sink("stderr", false) }
  const exitCode = await command(args, options.env ?? {}, options.cwd ?? process.cwd(), out)
  return { exitCode, ...written }
}
