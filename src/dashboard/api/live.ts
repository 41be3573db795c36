/**
 * New records as they come, by server-sent events, told at most once a second. A stream that breaks is opened again by the
 * browser; while the page is hidden or paused there is none.
 */
import { useEffect, useState } from "react"
import { addressOf, type Query } from "./client.ts"
import { type Realm, USAGE_PATHS } from "./realm.ts"
import type { UsageRecord } from "./usage.ts"

const TELL_MS = 1_000

export type LiveState = "listening" | "connecting" | "paused" | "away"

/** Calls `onRecords` with what is new, the newest first. */
export function useLive(
  realm: Realm,
  query: Query,
  isPaused: boolean,
  onRecords: (records: readonly UsageRecord[]) => void,
): LiveState {
  const [state, setState] = useState<LiveState>("connecting")
  const isVisible = useVisibility()
  const address = addressOf(`${USAGE_PATHS[realm]}/stream`, query)
  const isOff = isPaused || !isVisible
  useEffect(() => {
    if (isOff) return setState("paused")
    setState("connecting")
    const source = new EventSource(address)
    let waiting: UsageRecord[] = []
    const tell = setInterval(() => {
      if (waiting.length === 0) return
      onRecords(waiting.toReversed())
      waiting = []
    }, TELL_MS)
    source.addEventListener("open", () => setState("listening"))
    source.addEventListener("record", (event) => {
      setState("listening")
      waiting.push(JSON.parse(event.data) as UsageRecord)
    })
    source.addEventListener("error", () => setState(source.readyState === EventSource.CLOSED ? "away" : "connecting"))
    return () => {
      clearInterval(tell)
      source.close()
    }
  }, [address, isOff, onRecords])
  return state
}

function useVisibility(): boolean {
  const [isVisible, setVisible] = useState(() => document.visibilityState === "visible")
  useEffect(() => {
    const onChange = () => setVisible(document.visibilityState === "visible")
    document.addEventListener("visibilitychange", onChange)
    return () => document.removeEventListener("visibilitychange", onChange)
  }, [])
  return isVisible
}
