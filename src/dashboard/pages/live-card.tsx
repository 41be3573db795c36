/** The last requests as they come. Stops while somebody points at it or works in it, so that no row moves away. */
import { useQuery } from "@tanstack/react-query"
import { useCallback, useMemo, useState } from "react"
import { Link } from "wouter"
import { type LiveState, useLive } from "../api/live.ts"
import type { Realm } from "../api/realm.ts"
import { recordsQuery, type UsageRecord } from "../api/usage.ts"
import { zoneName } from "../format/moment.ts"
import { TextButton } from "../ui/button.tsx"
import { Card, Failure, Skeleton } from "../ui/card.tsx"
import { DataTable } from "../ui/table.tsx"
import { useView } from "../view/use-view.ts"
import { FirstSteps } from "./first-steps.tsx"
import { recordColumns } from "./record-columns.tsx"

const SHOWN = 10
const COLUMNS = new Set(["time", "model", "project", "tokens", "cost"])

export function LiveCard({
  realm,
  organization,
  timeZone,
  className,
}: {
  realm: Realm
  organization: string | null
  timeZone: string
  className: string
}) {
  const { href } = useView()
  const [isPaused, setPaused] = useState(false)
  const [isHeld, setHeld] = useState(false)
  const query = { organization, limit: SHOWN }
  const { data, error, refetch } = useQuery(recordsQuery(realm, query))
  const { rows, ids, state } = useRows(realm, organization, isPaused || isHeld, data?.data)
  const columns = useMemo(() => recordColumns(timeZone).filter(({ id }) => COLUMNS.has(id)), [timeZone])
  return (
    <Card
      title="Live"
      unit={`last ${SHOWN} requests, ${WORDS[state]}, in ${zoneName(timeZone, new Date())}`}
      className={className}
      actions={
        <>
          <TextButton onClick={() => setPaused(!isPaused)}>{isPaused ? "Resume" : "Pause"}</TextButton>
          <Link href={href(realm === "admin" ? "/requests" : "/my/requests")} className="link text-table">
            All requests
          </Link>
        </>
      }
    >
      {error !== null && data === undefined ? (
        <Failure error={error} what="Requests" retry={() => void refetch()} />
      ) : data === undefined ? (
        <Skeleton lines={SHOWN} />
      ) : rows.length === 0 ? (
        <FirstSteps />
      ) : (
        // biome-ignore lint/a11y/noStaticElementInteractions: holds the rows still while they are looked at
        <div
          onMouseEnter={() => setHeld(true)}
          onMouseLeave={() => setHeld(false)}
          onFocus={() => setHeld(true)}
          onBlur={() => setHeld(false)}
        >
          <DataTable
            label="Last requests"
            columns={columns}
            rows={rows}
            rowId={({ id }) => id}
            isNew={({ id }) => ids.has(id)}
            href={({ id }) => href(`${realm === "admin" ? "" : "/my"}/requests/${id}`)}
          />
        </div>
      )}
    </Card>
  )
}

const WORDS: Readonly<Record<LiveState, string>> = {
  listening: "as they come",
  connecting: "connecting …",
  paused: "paused",
  away: "not streaming; reload to try again",
}

/** What was there, and what came since. */
function useRows(
  realm: Realm,
  organization: string | null,
  isOff: boolean,
  first: readonly UsageRecord[] | undefined,
): { rows: readonly UsageRecord[]; ids: ReadonlySet<string>; state: LiveState } {
  const [fresh, setFresh] = useState<readonly UsageRecord[]>([])
  const onRecords = useCallback(
    (records: readonly UsageRecord[]) => setFresh((before) => [...records, ...before].slice(0, SHOWN)),
    [],
  )
  const state = useLive(realm, { organization }, isOff, onRecords)
  const rows = useMemo(() => newest([...fresh, ...(first ?? [])]), [fresh, first])
  const ids = useMemo(() => new Set(fresh.map(({ id }) => id)), [fresh])
  return { rows, ids, state }
}

/** The newest first, each once. */
function newest(records: readonly UsageRecord[]): readonly UsageRecord[] {
  const byId = new Map(records.map((record) => [record.id, record]))
  return [...byId.values()].sort((one, two) => (one.time < two.time ? 1 : -1)).slice(0, SHOWN)
}
