/** The command line as a whole: what every command has, and how words find theirs. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { describe, expect, test } from "vitest"
import { CommandError, runCommand, toJson, WrongUsage } from "../../src/cli/command.ts"
import { COMMANDS, findCommand } from "../../src/cli/commands.ts"
import { helpText } from "../../src/cli/help.ts"
import { alignColumns } from "../../src/cli/text-table.ts"
import { PROJECT, run } from "../support/tallygate-process.ts"
import { runOf, tallygate } from "./run-command.ts"

const SHAPE = {
  name: "try",
  about: "Tries.",
  options: {
    name: { type: "string", value: "NAME", text: "a name" },
    also: { type: "string", multiple: true, value: "NAME", text: "further ones" },
  },
  words: { text: "WORD", min: 1, max: 1 },
} as const

/** A command whose 2 says how things stand, for who watches it, has another code for wrong usage. */
const WRONG_USAGE: Readonly<Record<string, number>> = { budgets: 3 }

describe.each(COMMANDS.map(({ name }) => name))("tallygate %s", (name) => {
  const wrongUsage = WRONG_USAGE[name] ?? 2

  test("refuses what it does not know with its help and its own code, before it does anything", async () => {
    const { exitCode, stdout, stderr } = await tallygate([...name.split(" "), "--no-such-option"])
    expect([exitCode, stdout]).toEqual([wrongUsage, ""])
    expect(stderr).toMatch(new RegExp(`^tallygate ${name}: .*--no-such-option`))
    expect(stderr).toContain(`Usage: tallygate ${name}`)
  })

  test("explains itself, its exit codes and that it can speak JSON", async () => {
    for (const flag of ["--help", "-h"]) {
      const { exitCode, stdout, stderr } = await tallygate([...name.split(" "), flag])
      expect([exitCode, stderr]).toEqual([0, ""])
      expect(stdout).toMatch(new RegExp(`^Usage: tallygate ${name}( |\\n)`))
      expect(stdout).toMatch(/\n {2}--json +\S/)
      expect(stdout).toMatch(new RegExp(`\\nExit code: 0 .+, 1 .+[,\\s]+${wrongUsage} .*wrong usage\\.\\n$`, "s"))
    }
  })

  test("stands in the list of commands and on its page", () => {
    expect(helpText()).toContain(`  tallygate ${name} `)
    expect(readFileSync(path.join(PROJECT, "docs/cli.md"), "utf8")).toContain(`tallygate ${name}`)
  })
})

describe("reading arguments", () => {
  const read = (args: string[]) =>
    runOf(
      (given, _env, _cwd, out) =>
        runCommand(SHAPE, given, out, ({ values, words, isJson }) => {
          if (values.name === "broken") throw new CommandError("it is broken; mend it")
          if (values.name === "senseless") throw new WrongUsage("that makes no sense")
          if (values.name === "faulty") throw new Error("a fault")
          out.stdout.write(toJson({ values, words, isJson }))
          return 0
        }),
      args,
    )

  test.each([
    [["a", "b"], "`b` is one word too many"],
    [[], "WORD is missing"],
    [["a", "--name"], "--name"],
    [["a", "--name", ""], "--name needs a value"],
    [["a", "--also", "x", "--also="], "--also needs a value"],
    [["a", "--json=yes"], "--json"],
    [["a", "--name", "senseless"], "that makes no sense"],
  ])("%j is wrong usage", async (args, reason) => {
    const { exitCode, stdout, stderr } = await read(args)
    expect([exitCode, stdout]).toEqual([2, ""])
    expect(stderr.split("\n\n")[0]).toContain(reason)
  })

  test("a failure is told in a sentence, to programs as JSON; a fault is not hidden", async () => {
    expect(await read(["a", "--name", "broken"])).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "tallygate try: it is broken; mend it\n",
    })
    const { exitCode, stdout } = await read(["a", "--name", "broken", "--json"])
    expect([exitCode, JSON.parse(stdout)]).toEqual([1, { kind: "failed", reason: "it is broken; mend it" }])
    await expect(read(["a", "--name", "faulty"])).rejects.toThrow("a fault")
  })

  test("options come once or several times, as declared, and words may follow a double dash", async () => {
    const { stdout } = await read(["--also", "x", "--also=y", "--json", "--", "--a"])
    expect(JSON.parse(stdout)).toEqual({ values: { also: ["x", "y"], json: true }, words: ["--a"], isJson: true })
  })
})

describe("finding a command", () => {
  test("two words are one command, one word may stand for several", () => {
    expect(findCommand(["config", "check", "--json"])).toMatchObject({
      kind: "command",
      command: { name: "config check" },
      rest: ["--json"],
    })
    expect(findCommand(["keys"])).toMatchObject({ kind: "group", name: "keys" })
    expect(findCommand(["keys", "--help"])).toMatchObject({ kind: "group" })
    expect(findCommand(["check"])).toEqual({ kind: "unknown" })
    expect(findCommand([])).toEqual({ kind: "unknown" })
  })
})

describe("the process", () => {
  const main = [process.execPath, "src/main.ts"]

  test("words that are no command are answered with 2 and where to look", async () => {
    const unknown = await run([...main, "constitute"])
    expect(unknown).toEqual({
      code: 2,
      output: "tallygate: there is no command `constitute`; `tallygate --help` lists those there are.\n",
    })
    const group = await run([...main, "keys", "lost"])
    expect(group.code).toBe(2)
    expect(group.output).toMatch(/^tallygate: there is no command `keys lost`; there are:\n\n {2}tallygate keys list /)
  })

  test("help is found in every way in which people ask for it, without a terminal's colours", async () => {
    const [whole, asked, group, one] = await Promise.all([
      run([...main, "--help"]),
      run([...main, "help"]),
      run([...main, "keys", "--help"]),
      run([...main, "help", "keys", "create"]),
    ])
    expect(whole).toEqual({ code: 0, output: helpText() })
    expect(asked).toEqual(whole)
    expect(group).toMatchObject({ code: 0, output: expect.stringMatching(/^ {2}tallygate keys list /) })
    expect(one).toMatchObject({ code: 0, output: expect.stringMatching(/^Usage: tallygate keys create NAME/) })
  })
})

describe("what is printed", () => {
  test("a name cannot write on the terminal beyond its cell", () => {
    expect(
      alignColumns(
        [
          ["a\u001b[2Jb", "1"],
          ["c\nd\u202e", "23"],
        ],
        [1],
      ),
    ).toEqual(["  a\ufffd[2Jb   1", "  c\ufffdd\ufffd    23"])
  })
})
