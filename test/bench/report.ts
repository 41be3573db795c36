/** Medians, additions over direct and ratios to the bare proxy, each formed within its round; as Markdown and JSON. */
import type { Reconciliation } from "./reconcile.ts"
import type { Measure, Run } from "./rounds.ts"
import type { Target } from "./targets.ts"

type Name = Target["name"]
type Figure = (run: Run) => number

/** Median over rounds of a figure of one target. */
export function medianOf(runs: readonly Run[], target: Name, measure: Measure, figure: Figure): number {
  return median(select(runs, target, measure).map(figure))
}

/** Median over rounds of the figure less (or over) the same figure of another target in the same round. */
export function against(
  runs: readonly Run[],
  target: Name,
  other: Name,
  measure: Measure,
  figure: Figure,
  compare: (own: number, other: number) => number,
): number {
  const others = select(runs, other, measure)
  const pairs = select(runs, target, measure).flatMap((run) => {
    const base = others.find((candidate) => candidate.round === run.round)
    return base === undefined ? [] : [compare(figure(run), figure(base))]
  })
  return median(pairs)
}

function select(runs: readonly Run[], target: Name, measure: Measure): Run[] {
  return runs.filter((run) => run.target === target && run.measure === measure)
}

function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const minus = (own: number, other: number): number => own - other
const over = (own: number, other: number): number => own / other
const rps: Figure = (run) => run.load.rps
const p50: Figure = (run) => run.load.latencyMs.p50
const p99: Figure = (run) => run.load.latencyMs.p99
const ttft: Figure = (run) => run.load.ttftMs.p50
const own: Figure = (run) => run.ownUsPerUnit
const children: Figure = (run) => run.childrenUsPerUnit
const ownMb: Figure = (run) => run.memory.ownMb
const childrenMb: Figure = (run) => run.memory.childrenMb

/** Two tables, one for requests and one for streams, and the reconciliation. */
export function markdown(runs: readonly Run[], reconciliations: readonly Reconciliation[]): string {
  const names = [...new Set(runs.map((run) => run.target))]
  const cells = (values: readonly (string | number)[]): string => `| ${values.join(" | ")} |`
  const lines = [
    "| target | rps at 32 connections | ÷ bare | CPU µs/request | ÷ bare | child processes µs/request | 500 rps: added p50 / p99 ms | 1,000 rps: added p50 / p99 ms | CPU µs/request at 1,000 rps | ÷ bare | RSS MB (children) |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
  ]
  const added = (name: Name, measure: Measure): string =>
    `${show(against(runs, name, "direct", measure, p50, minus), 2)} / ${show(against(runs, name, "direct", measure, p99, minus), 1)}`
  for (const name of names) {
    lines.push(
      cells([
        name,
        show(medianOf(runs, name, "saturation", rps), 0),
        show(against(runs, name, "bare", "saturation", rps, over), 2),
        show(medianOf(runs, name, "saturation", own), 1),
        show(against(runs, name, "bare", "saturation", own, over), 2),
        show(medianOf(runs, name, "saturation", children), 1),
        name === "direct" ? "–" : added(name, "open500"),
        name === "direct" ? "–" : added(name, "open1000"),
        show(medianOf(runs, name, "open1000", own), 0),
        show(against(runs, name, "bare", "open1000", own, over), 2),
        memory(runs, name, "saturation"),
      ]),
    )
  }
  lines.push(
    "",
    "| target | streams: CPU µs/chunk | ÷ bare | child processes µs/chunk | TTFT p50 added ms | RSS MB (children) |",
    "|---|---:|---:|---:|---:|---:|",
  )
  for (const name of names) {
    lines.push(
      cells([
        name,
        show(medianOf(runs, name, "streams", own), 1),
        show(against(runs, name, "bare", "streams", own, over), 2),
        show(medianOf(runs, name, "streams", children), 1),
        name === "direct" ? "–" : show(against(runs, name, "direct", "streams", ttft, minus), 2),
        memory(runs, name, "streams"),
      ]),
    )
  }
  lines.push("", ...reconciliations.map(reconciliationLine))
  return lines.join("\n")
}

function memory(runs: readonly Run[], name: Name, measure: Measure): string {
  if (name === "direct") return "–"
  return `${show(medianOf(runs, name, measure, ownMb), 0)} (${show(medianOf(runs, name, measure, childrenMb), 0)})`
}

function reconciliationLine(result: Reconciliation): string {
  const { served, recorded } = result
  const figures = (Object.keys(served) as (keyof typeof served)[]).map(
    (name) => `${name} ${recorded[name]} of ${served[name]}`,
  )
  return `Reconciliation of ${result.target}: ${result.isEqual ? "difference 0" : "DIFFERENT"} (${figures.join(", ")}).`
}

function show(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–"
}
