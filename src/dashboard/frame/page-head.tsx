/** The head of a page: where one is, what the page is called, and what can be done on it. */
import type { ReactNode } from "react"

export function PageHead({ title, crumbs, children }: { title: string; crumbs?: ReactNode; children?: ReactNode }) {
  return (
    <>
      {crumbs}
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <title>{`${title} · Tallygate`}</title>
        <h1 className="mr-auto text-head font-[650] max-sm:w-full">{title}</h1>
        {children}
      </div>
    </>
  )
}
