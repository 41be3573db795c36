/** A card: one question, answered. What failed in it is told in it; the others live on. */
import type { ReactNode } from "react"
import { ApiFailure } from "../api/client.ts"
import { Button } from "./button.tsx"

export function Card({
  title,
  unit,
  actions,
  children,
  className = "",
  isBusy = false,
}: {
  title: ReactNode
  /** Unit and period of what the card shows. */
  unit?: ReactNode
  actions?: ReactNode
  children: ReactNode
  className?: string
  /** Shows that newer figures are on their way; the old ones stay. */
  isBusy?: boolean
}) {
  return (
    <section
      className={`relative min-w-0 overflow-clip rounded-card border border-line bg-surface p-4 sm:px-5 sm:py-[18px] ${className}`}
    >
      {isBusy && <ProgressLine />}
      <div className="mb-3 flex flex-wrap items-center gap-x-3 gap-y-2">
        <h2 className="mr-auto text-body font-semibold">
          {title} {unit !== undefined && <span className="font-normal text-ink3">{unit}</span>}
        </h2>
        {actions}
      </div>
      {children}
    </section>
  )
}

export function ProgressLine() {
  return (
    <div className="absolute inset-x-0 top-0 h-0.5 overflow-hidden" aria-hidden="true">
      <div className="progress-line h-full w-1/4 bg-accent" />
    </div>
  )
}

/** What went wrong, how to go on, and the id by which the log tells more. */
export function Failure({ error, retry, what }: { error: unknown; retry?: () => void; what: string }) {
  const failure = error instanceof ApiFailure ? error : null
  return (
    <div role="alert" className="py-2 text-table">
      <p className="font-semibold text-bad">{what} could not be read</p>
      <p className="mt-1 text-ink2">{failure?.message ?? (error instanceof Error ? error.message : String(error))}</p>
      {failure?.requestId != null && (
        <p className="mt-1 text-meta text-ink3">
          Request id <code className="font-mono">{failure.requestId}</code>
        </p>
      )}
      {retry !== undefined && (
        <Button className="mt-3" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  )
}

/** A place for what is not there yet: one sentence what appears here, and what fills it. */
export function Empty({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-start gap-3 py-4 text-body text-ink2">
      <div className="max-w-prose">{children}</div>
      {action}
    </div>
  )
}

/** Bars where figures will stand, of the size that they will have. Seen only after a moment. */
export function Skeleton({ lines, className = "h-4" }: { lines: number; className?: string }) {
  return (
    <div className="animate-[fade_150ms_150ms_both] space-y-3" aria-hidden="true" data-pending>
      {Array.from({ length: lines }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: all bars are alike
        <div key={line} className={`rounded-item bg-sunken ${className} ${line % 3 === 2 ? "w-2/3" : "w-full"}`} />
      ))}
    </div>
  )
}
