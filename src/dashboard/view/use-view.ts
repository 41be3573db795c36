/** The view of the page's URL, and how a page changes it. */
import { useCallback, useMemo } from "react"
import { useLocation, useSearch } from "wouter"
import { carried, readView, type View, withNames } from "./view.ts"

export type ViewState = {
  readonly view: View
  readonly search: URLSearchParams
  /** Sets names of the query; null takes one away. Each change is a step that Back undoes, unless it replaces. */
  readonly set: (names: Readonly<Record<string, string | null>>, options?: { replace?: boolean }) => void
  /** An address of the dashboard that keeps this view's range and filters, with names set. */
  readonly href: (path: string, names?: Readonly<Record<string, string | null>>, keep?: "filters" | "range") => string
}

export function useView(): ViewState {
  const text = useSearch()
  const [path, go] = useLocation()
  return useMemo(() => {
    const search = new URLSearchParams(text)
    return {
      view: readView(search),
      search,
      set: (names, options = {}) => go(address(path, withNames(search, names)), options),
      href: (to, names = {}, keep = "filters") => address(to, withNames(carried(search, keep === "filters"), names)),
    }
  }, [text, path, go])
}

/** Names of the page's query alone, for pages without a period. */
export function useQueryName(name: string): [string, (value: string | null) => void] {
  const { search, set } = useView()
  const change = useCallback((value: string | null) => set({ [name]: value }, { replace: true }), [set, name])
  return [search.get(name) ?? "", change]
}

function address(path: string, search: URLSearchParams): string {
  // Commas between values are easier on the eye as they are, and mean the same.
  const text = search.toString().replaceAll("%2C", ",")
  return text === "" ? path : `${path}?${text}`
}
