/** Whether what the page shows can be relied on: calls are being recorded, limits hold, the server answers. */
import { queryOptions, useQuery } from "@tanstack/react-query"

const EVERY_MS = 15_000

type State = {
  readonly tone: "ok" | "warn" | "bad"
  readonly short: string
  readonly text: string
  readonly more: string
}

/** `/readyz` answers 503 with the same members while something is not as it should be. */
const readinessQuery = queryOptions({
  queryKey: ["readiness"],
  queryFn: async ({ signal }) => {
    const response = await fetch("/readyz", { signal })
    return (await response.json()) as Readonly<Record<string, string>>
  },
  refetchInterval: EVERY_MS,
  retry: false,
})

export function TruthLine({ isShort = false }: { isShort?: boolean }) {
  const { data, isError, isPending } = useQuery(readinessQuery)
  if (isPending) return <div className={isShort ? "h-4 w-16" : "h-8"} />
  const state = isError ? UNREACHABLE : stateOf(data)
  const dot = { ok: "fill-ok", warn: "fill-warnfill", bad: "fill-badfill" }[state.tone]
  const ink = { ok: "text-ink", warn: "text-warn", bad: "text-bad" }[state.tone]
  return (
    <div className="text-meta text-ink3">
      <strong className={`flex items-center gap-1.5 font-[550] ${ink} ${isShort ? "whitespace-nowrap" : ""}`}>
        <svg width="7" height="7" aria-hidden="true" className="flex-none">
          <circle cx="3.5" cy="3.5" r="3.5" className={dot} />
        </svg>
        {isShort ? state.short : state.text}
      </strong>
      {!isShort && state.more}
    </div>
  )
}

const UNREACHABLE: State = {
  tone: "bad",
  short: "No answer",
  text: "The server does not answer",
  more: "What is shown may be old.",
}

function stateOf(parts: Readonly<Record<string, string>>): State {
  if (parts.journal === "full") {
    const more = "Calls are refused until Postgres takes what waits."
    return { tone: "bad", short: "Journal full", text: "The journal is full", more }
  }
  if (parts.limits === "away") {
    const more = "Each limit does what it is set to do then."
    return { tone: "warn", short: "Redis is away", text: "Recording; Redis is away", more }
  }
  if (parts.status !== "ready") {
    return { tone: "warn", short: "Stopping", text: "The server is shutting down", more: "Calls in flight finish." }
  }
  return {
    tone: "ok",
    short: "Recording",
    text: "Recording",
    more: parts.limits === "redis" ? "Limits are counted in Redis" : "Limits are counted in this process",
  }
}
