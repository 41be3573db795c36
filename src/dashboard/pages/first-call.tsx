/** Waits for the first call of a key, and shows it when it comes. */
import { useQuery } from "@tanstack/react-query"
import { useRealm } from "../api/realm.ts"
import { recordsQuery } from "../api/usage.ts"
import { cost, count } from "../format/format.ts"
import { clockTime } from "../format/moment.ts"

const EVERY_MS = 2_000

export function FirstCall({ keyId, sinceIso }: { keyId: string; sinceIso: string }) {
  const realm = useRealm()
  const { data } = useQuery({
    ...recordsQuery(realm, { key: keyId, from: sinceIso, limit: 1 }),
    refetchInterval: ({ state }) => (state.data?.data.length ? false : EVERY_MS),
  })
  const first = data?.data[0]
  return (
    <p role="status" className="mt-4 flex items-center gap-2 rounded-control border border-line px-3 py-2.5 text-table">
      <svg width="7" height="7" aria-hidden="true" className="flex-none">
        <circle cx="3.5" cy="3.5" r="3.5" className={first === undefined ? "animate-pulse fill-edge" : "fill-ok"} />
      </svg>
      {first === undefined ? (
        <span className="text-ink2">Waiting for the first call with this key …</span>
      ) : (
        <span>
          First call at {clockTime(first.time, "UTC")} UTC: {first.model_served || first.model_requested},{" "}
          {count(first.output_tokens)} output tokens, {cost(first.cost_usd)}
        </span>
      )}
    </p>
  )
}
