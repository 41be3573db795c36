/** Keys that go places: `g` and a letter goes to a page, `/` focuses the page's search, `?` lists them. */
import { useEffect } from "react"
import { useLocation } from "wouter"
import { useView } from "../view/use-view.ts"
import type { Place } from "./places.ts"

const CHORD_MS = 1_200
const OFF_KEY = "tallygate.shortcuts"

export function areShortcutsOn(): boolean {
  try {
    return localStorage.getItem(OFF_KEY) !== "off"
  } catch {
    return true
  }
}

export function switchShortcuts(isOn: boolean): void {
  try {
    localStorage.setItem(OFF_KEY, isOn ? "on" : "off")
  } catch {
    // A browser that keeps nothing has them on.
  }
}

export function useShortcuts(places: readonly Place[]): void {
  const [, go] = useLocation()
  const { href } = useView()
  useEffect(() => {
    let chordUntilMs = 0
    const onKey = (event: KeyboardEvent) => {
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target) || !areShortcutsOn()) return
      if (event.key === "/") {
        const search = document.querySelector<HTMLElement>("[data-search]")
        if (search === null) return
        event.preventDefault()
        search.focus()
        return
      }
      if (event.key === "g") {
        chordUntilMs = event.timeStamp + CHORD_MS
        return
      }
      const place = places.find(({ letter }) => letter === event.key)
      if (event.timeStamp < chordUntilMs && place !== undefined) go(href(place.path))
      chordUntilMs = 0
    }
    document.addEventListener("keydown", onKey)
    return () => document.removeEventListener("keydown", onKey)
  }, [places, go, href])
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return (
    target.isContentEditable ||
    /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
    target.closest("[role=dialog],[role=application]") !== null
  )
}
