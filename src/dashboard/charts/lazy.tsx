/** The plots, fetched when the first one is shown: the frame and the figures do not wait for them. */
import { lazy, type ReactNode, Suspense } from "react"

const HEIGHT = "h-[240px] sm:h-[300px]"

export const StackedBars = lazy(() => import("./stacked-bars.tsx").then((room) => ({ default: room.StackedBars })))
export const Lines = lazy(() => import("./lines.tsx").then((room) => ({ default: room.Lines })))

/** Keeps the plot's place while it is fetched, so that nothing jumps. */
export function PlotPlace({ children }: { children: ReactNode }) {
  return <Suspense fallback={<div className={HEIGHT} data-pending />}>{children}</Suspense>
}
