/** Columns of single requests, wherever they are listed. */
import type { UsageRecord } from "../api/usage.ts"
import { compact, cost, duration, fullCount } from "../format/format.ts"
import { clockTime, dayAndTime } from "../format/moment.ts"
import { Missing, Pill } from "../ui/pill.tsx"
import type { Column } from "../ui/table.tsx"
import { outcomeName } from "../view/group-names.ts"

export function recordColumns(timeZone: string): readonly Column<UsageRecord>[] {
  return [...whoColumns(timeZone), ...FIGURES]
}

function whoColumns(timeZone: string): readonly Column<UsageRecord>[] {
  return [
    {
      id: "time",
      head: "Time",
      cell: ({ time }) => (
        <time dateTime={time} className="whitespace-nowrap text-ink2" title={time}>
          <span className="max-sm:hidden">
            {isToday(time, timeZone) ? "" : `${dayAndTime(time, timeZone).split(",")[0]}, `}
          </span>
          {clockTime(time, timeZone)}
        </time>
      ),
    },
    { id: "status", head: "Status", cell: (record) => <Status record={record} />, from: "sm" },
    { id: "model", head: "Model", cell: (record) => <Model record={record} /> },
    {
      id: "project",
      head: "Project",
      cell: ({ project, project_id }) => project ?? project_id,
      from: "md",
      className: "text-ink2",
    },
    { id: "key", head: "Key", cell: ({ key, key_id }) => key ?? key_id, from: "lg", className: "text-ink2" },
    {
      id: "user",
      head: "User",
      cell: ({ user, user_id }) => user ?? (user_id || <Missing why="No user was named" />),
      from: "xl",
      className: "text-ink2",
    },
  ]
}

const FIGURES: readonly Column<UsageRecord>[] = [
  {
    id: "input",
    head: "In",
    isFigure: true,
    cell: (record) => <Count value={inputTokens(record)} />,
    from: "md",
    className: "text-ink2",
  },
  {
    id: "cached",
    head: "Cached",
    isFigure: true,
    cell: ({ cache_read_tokens }) => <Count value={cache_read_tokens} />,
    from: "xl",
    className: "text-ink2",
  },
  {
    id: "output",
    head: "Out",
    isFigure: true,
    cell: ({ output_tokens }) => <Count value={output_tokens} />,
    from: "md",
    className: "text-ink2",
  },
  {
    id: "tokens",
    head: "Tokens",
    isFigure: true,
    cell: (record) => <Count value={inputTokens(record) + record.output_tokens} />,
    from: "sm",
    className: "text-ink2",
  },
  {
    id: "ttft",
    head: "First token",
    isFigure: true,
    cell: ({ ttft_ms }) => (ttft_ms === null ? <Missing why="Nothing was sent to the caller" /> : duration(ttft_ms)),
    from: "lg",
    className: "text-ink2",
  },
  {
    id: "total",
    head: "Total",
    isFigure: true,
    cell: ({ duration_ms }) => duration(duration_ms),
    from: "lg",
    className: "text-ink2",
  },
  { id: "cost", head: "Cost", isFigure: true, className: "font-[550]", cell: (record) => <Cost record={record} /> },
]

/** All input of one call: its classes are disjoint. */
function inputTokens(record: UsageRecord): number {
  const { input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens } = record
  return input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
}

export function Status({ record: { outcome, end_state } }: { record: UsageRecord }) {
  if (outcome === "ok") return <span className="text-ink2">{outcomeName(outcome)}</span>
  const word = end_state === "cut" ? "Cut off" : outcomeName(outcome)
  return <Pill tone={outcome === "error" ? "bad" : "warn"}>{word}</Pill>
}

export function Cost({ record: { cost_usd, usage_source } }: { record: UsageRecord }) {
  return (
    <span className="whitespace-nowrap">
      {usage_source === "estimated" && (
        <>
          <Pill title="The provider reported no usage; tokens were counted here">est.</Pill>{" "}
        </>
      )}
      {cost_usd === null ? <Pill tone="warn">No price</Pill> : <span title={`$${cost_usd}`}>{cost(cost_usd)}</span>}
    </span>
  )
}

function Model({ record: { model_served, model_requested } }: { record: UsageRecord }) {
  const served = model_served || model_requested
  return (
    <span
      className="block max-w-64 truncate"
      title={served === model_requested ? served : `${served}, asked for as ${model_requested}`}
    >
      {served || <Missing why="The request named no model" />}
    </span>
  )
}

function Count({ value }: { value: number }) {
  return <span title={fullCount(value)}>{compact(value)}</span>
}

function isToday(time: string, timeZone: string): boolean {
  const day = (at: string | Date) => dayAndTime(at, timeZone).split(",")[0]
  return day(time) === day(new Date())
}
