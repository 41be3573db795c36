/**
 * The project as its user has it: a folder of its own with what a clone and `npm ci` bring, an environment in which
 * nothing of the test runner is left, and the Node that the machine itself has.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { copyFile, mkdir } from "node:fs/promises"
import path from "node:path"
import { PROJECT } from "./tallygate-process.ts"

/** Puts the project's files, as git would hand them out, and its packages into `folder`, which need not exist. */
export async function cloneProject(folder: string): Promise<void> {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: PROJECT }).toString()
  for (const file of listed.split("\0").filter((name) => name !== "" && !name.startsWith("test/"))) {
    await mkdir(path.dirname(path.join(folder, file)), { recursive: true })
    await copyFile(path.join(PROJECT, file), path.join(folder, file))
  }
  // Hard links where the file system can, so that packages really stand in this folder, whatever its name, at no cost.
  const packages = [path.join(PROJECT, "node_modules"), path.join(folder, "node_modules")]
  if (spawnSync("cp", ["-al", ...packages]).status !== 0) execFileSync("cp", ["-a", ...packages])
}

export type MachineNode = { readonly file: string; readonly major: number }

/** The Nodes on PATH that no package brought, in PATH's order; a machine with npm may have none that we can see. */
export function machineNodes(): MachineNode[] {
  return foldersOfPath().flatMap((folder) => {
    const file = path.join(folder, "node")
    if (!isExecutable(file)) return []
    return [{ file, major: Number(/^v(\d+)/.exec(execFileSync(file, ["--version"]).toString())?.[1]) }]
  })
}

/**
 * The command in an environment of `env` alone, beside PATH and HOME: the machine's own Node comes first on PATH, and
 * npm asks no registry for news of itself. The process keeps its pid, since `env` hands over to the command.
 */
export function asUser(command: readonly string[], env: Readonly<Record<string, string>> = {}): string[] {
  // Where the machine has no Node of its own, npm has to run on the pinned one.
  const nodeFolder = machineNodes().length > 0 ? [] : [path.dirname(process.execPath)]
  const PATH = [...foldersOfPath(), ...nodeFolder].join(path.delimiter)
  const all = { PATH, HOME: process.env.HOME ?? PROJECT, npm_config_update_notifier: "false", ...env }
  return ["env", "-i", ...Object.entries(all).map(([name, value]) => `${name}=${value}`), ...command]
}

function foldersOfPath(): string[] {
  const folders = (process.env.PATH ?? "").split(path.delimiter)
  return folders.filter((folder) => folder !== "" && !folder.split(path.sep).includes("node_modules"))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
