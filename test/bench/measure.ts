/**
 * What a process costs, read from /proc: CPU time of its threads (schedstat, nanoseconds, worker threads included),
 * the same of its descendants apart, and resident memory. Linux only.
 */
import { readdirSync, readFileSync } from "node:fs"

export type CpuSample = {
  /** The process itself, all threads. */
  readonly ownUs: number
  /** Its main thread alone. */
  readonly mainThreadUs: number
  /** Its descendants, e.g. the embedded database. */
  readonly childrenUs: number
}

/** CPU time used so far; a thread that has ended is no longer in it. */
export function sampleCpu(pid: number): CpuSample {
  const [, ...children] = processTree(pid)
  return {
    ownUs: threadsUs(pid),
    mainThreadUs: schedstatUs(`/proc/${pid}/schedstat`),
    childrenUs: children.reduce((sum, child) => sum + threadsUs(child), 0),
  }
}

export type MemorySample = { readonly ownMb: number; readonly childrenMb: number }

export function sampleMemory(pid: number): MemorySample {
  const [, ...children] = processTree(pid)
  return { ownMb: rssMb(pid), childrenMb: children.reduce((sum, child) => sum + rssMb(child), 0) }
}

/** The process and its descendants, the process first. */
export function processTree(pid: number): number[] {
  const childrenOf = new Map<number, number[]>()
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue
    const stat = readOrEmpty(`/proc/${entry}/stat`)
    // The command's name stands in parentheses and may hold spaces; the parent is the second field after it.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(entry)])
  }
  const found = [pid]
  for (const process of found) found.push(...(childrenOf.get(process) ?? []))
  return found
}

/** Resolves once the tree uses less than 4 % of a core over 300 ms; throws after `timeoutMs`. */
export async function waitUntilQuiet(pid: number, timeoutMs: number): Promise<void> {
  const giveUpMs = performance.now() + timeoutMs
  for (;;) {
    const before = treeUs(pid)
    await new Promise((resolve) => setTimeout(resolve, 300))
    if (treeUs(pid) - before < 12_000) return
    if (performance.now() > giveUpMs)
      throw new Error(`process ${pid} was still busy ${timeoutMs} ms after its load ended`)
  }
}

function treeUs(pid: number): number {
  const { ownUs, childrenUs } = sampleCpu(pid)
  return ownUs + childrenUs
}

function threadsUs(pid: number): number {
  let sum = 0
  for (const thread of listOrEmpty(`/proc/${pid}/task`)) sum += schedstatUs(`/proc/${pid}/task/${thread}/schedstat`)
  return sum
}

function schedstatUs(path: string): number {
  return Number(readOrEmpty(path).split(" ")[0] ?? 0) / 1_000
}

function rssMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readOrEmpty(`/proc/${pid}/status`))?.[1] ?? 0) / 1_024
}

/** Processes end while we look at them: what is gone counts nothing. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    return nothingIfGone(error, "")
  }
}

function listOrEmpty(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    return nothingIfGone(error, [])
  }
}

function nothingIfGone<T>(error: unknown, nothing: T): T {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOENT" || code === "ESRCH") return nothing
  throw error
}
