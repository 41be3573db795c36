/**
 * The measurements: every round visits every target, in alternating order, with the same loads. CPU is counted until
 * the target is quiet again, so that work put off (shipping records) is paid for by the run that caused it.
 */
import type { LoadOptions, LoadResult } from "./load.ts"
import { type CpuSample, type MemorySample, sampleCpu, sampleMemory, waitUntilQuiet } from "./measure.ts"
import { type Cores, startScript, type Target } from "./targets.ts"

export const MEASURES = ["saturation", "open500", "open1000", "streams"] as const
export type Measure = (typeof MEASURES)[number]

export type Plan = {
  readonly rounds: number
  readonly durationMs: number
  /** Before the first round, so that every target runs as compiled code. */
  readonly warmUpMs: number
  readonly streams: number
  readonly chunksPerStream: number
  readonly chunkDelayMs: number
}

export const FULL_PLAN: Plan = {
  rounds: 5,
  durationMs: 4_000,
  warmUpMs: 15_000,
  streams: 100,
  chunksPerStream: 200,
  chunkDelayMs: 20,
}
export const QUICK_PLAN: Plan = {
  rounds: 2,
  durationMs: 1_500,
  warmUpMs: 5_000,
  streams: 100,
  chunksPerStream: 50,
  chunkDelayMs: 20,
}

export type Run = {
  readonly round: number
  readonly target: Target["name"]
  readonly measure: Measure
  readonly load: LoadResult
  /** Per request, or per chunk (all SSE events counted) for streams; NaN for direct. */
  readonly ownUsPerUnit: number
  readonly mainThreadUsPerUnit: number
  /** The same for the target's child processes: the embedded database. */
  readonly childrenUsPerUnit: number
  readonly memory: MemorySample
}

/** A stream has, beside its content chunks, the role, the finish reason, the usage and `[DONE]`. */
const FURTHER_EVENTS = 4
const QUIET_MS_MAX = 60_000

export async function runRounds(targets: readonly Target[], plan: Plan, cores: Cores): Promise<Run[]> {
  const runs: Run[] = []
  for (const target of targets)
    await runLoad({ ...loadOptions("saturation", target, plan), durationMs: plan.warmUpMs }, cores)
  for (const target of targets) if (target.pid !== null) await waitUntilQuiet(target.pid, QUIET_MS_MAX)
  for (let round = 0; round < plan.rounds; round++) {
    for (const measure of MEASURES) {
      for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
        const run = await measureOne(round, measure, target, plan, cores)
        runs.push(run)
        console.error(progressLine(run))
      }
    }
  }
  return runs
}

async function measureOne(round: number, measure: Measure, target: Target, plan: Plan, cores: Cores): Promise<Run> {
  const options = loadOptions(measure, target, plan)
  const { pid } = target
  const before = pid === null ? null : sampleCpu(pid)
  let memory: MemorySample = { ownMb: 0, childrenMb: 0 }
  const watch = setInterval(() => {
    if (pid === null) return
    const now = sampleMemory(pid)
    memory = { ownMb: Math.max(memory.ownMb, now.ownMb), childrenMb: Math.max(memory.childrenMb, now.childrenMb) }
  }, 200)
  const load = await runLoad(options, cores).finally(() => clearInterval(watch))
  if (pid !== null) await waitUntilQuiet(pid, QUIET_MS_MAX)
  const after = pid === null ? null : sampleCpu(pid)
  const units = measure === "streams" ? load.sent * (plan.chunksPerStream + FURTHER_EVENTS) : load.sent
  if (load.bad > 0) throw new Error(`${target.name}, ${measure}: ${load.bad} of ${load.sent} requests failed`)
  const perUnit = (part: keyof CpuSample): number =>
    before === null || after === null ? Number.NaN : (after[part] - before[part]) / units
  return {
    round,
    target: target.name,
    measure,
    load,
    ownUsPerUnit: perUnit("ownUs"),
    mainThreadUsPerUnit: perUnit("mainThreadUs"),
    childrenUsPerUnit: perUnit("childrenUs"),
    memory,
  }
}

function loadOptions(measure: Measure, target: Target, plan: Plan): LoadOptions {
  const base = { port: target.port, key: target.key, durationMs: plan.durationMs, warmupMs: 500 }
  // Cached and reasoning tokens make every class of usage take part in the reconciliation.
  const model = "mock-p120-o64-k12-r5"
  switch (measure) {
    case "saturation":
      return { ...base, model, mode: "closed", connections: 32 }
    case "open500":
      return { ...base, model, mode: "open", connections: 128, rate: 500 }
    case "open1000":
      return { ...base, model, mode: "open", connections: 128, rate: 1_000 }
    case "streams":
      return {
        ...base,
        model: `mock-p120-k12-c${plan.chunksPerStream}-d${plan.chunkDelayMs}`,
        mode: "stream",
        connections: plan.streams,
        warmupMs: 0,
        durationMs: plan.chunksPerStream * plan.chunkDelayMs * 3 + 5_000,
      }
  }
}

async function runLoad(options: LoadOptions, cores: Cores): Promise<LoadResult> {
  const script = startScript(["test/bench/load.ts", JSON.stringify(options)], cores?.lab, {})
  const code = await new Promise<number | null>((resolve) => script.child.on("close", resolve))
  if (code !== 0) throw new Error(`the load generator failed: ${script.output}`)
  return JSON.parse(script.output.slice(script.output.indexOf("{"))) as LoadResult
}

function progressLine(run: Run): string {
  const { load } = run
  const what =
    run.measure === "streams"
      ? `TTFT p50 ${load.ttftMs.p50} ms`
      : `${load.rps} rps p50 ${load.latencyMs.p50} p99 ${load.latencyMs.p99} ms`
  const cpu = Number.isNaN(run.ownUsPerUnit) ? "" : `, CPU ${run.ownUsPerUnit.toFixed(1)} µs each`
  return `round ${run.round + 1} ${run.measure} ${run.target}: ${what}${cpu}`
}
