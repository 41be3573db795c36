/** Where the limits on one's own key stand: used, cap, and when the window ends. */
import { queryOptions, useQuery } from "@tanstack/react-query"
import { get } from "../api/client.ts"
import { useSession } from "../api/session.ts"
import { Meter } from "../charts/meter.tsx"
import { count, ratio, share, total } from "../format/format.ts"
import { dayAndTime } from "../format/moment.ts"
import { Card, Failure, Skeleton } from "../ui/card.tsx"
import { Pill, type Tone } from "../ui/pill.tsx"
import { limitWords } from "./limit-words.ts"

type Standing = {
  readonly id: string
  readonly scope: string
  readonly kind: string
  readonly window: string
  readonly days: number | null
  readonly time_zone: string
  readonly cap: string
  readonly used: string | null
  readonly remaining: string | null
  readonly resets_at: string | null
}

const presentedKeyQuery = queryOptions({
  queryKey: ["presented key"],
  queryFn: ({ signal }) => get<{ readonly name: string; readonly limits: readonly Standing[] }>("/v1/key", {}, signal),
  refetchInterval: 15_000,
})

const SHARED: Readonly<Record<string, string>> = {
  key: "this key",
  user: "shared by your keys",
  project: "shared in the project",
  organization: "shared in the organization",
  provider_account: "shared at the provider",
}

export function OwnLimits() {
  const session = useSession()
  const { data, error, refetch } = useQuery({ ...presentedKeyQuery, enabled: session.kind === "key" })
  if (session.kind !== "key") return null
  return (
    <Card title="My limits" className="mb-3 sm:mb-4">
      {data === undefined ? (
        error === null ? (
          <Skeleton lines={3} />
        ) : (
          <Failure error={error} what="Your limits" retry={() => void refetch()} />
        )
      ) : data.limits.length === 0 ? (
        <p className="text-table text-ink2">No limit applies to your key.</p>
      ) : (
        <ul className="grid gap-x-8 gap-y-4 md:grid-cols-2">
          {data.limits.map((limit) => (
            <li key={limit.id}>
              <LimitStanding limit={limit} />
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

function LimitStanding({ limit }: { limit: Standing }) {
  const { kind, cap, used, remaining, resets_at, time_zone, scope } = limit
  const shown = (value: string) => (kind === "usd" ? total(value) : count(value))
  return (
    <>
      <p className="flex flex-wrap justify-between gap-x-3 text-table">
        <span className="font-medium">{limitWords(limit)}</span>
        <span className="text-ink2">{SHARED[scope] ?? scope}</span>
      </p>
      {used === null ? (
        <p className="mt-1 text-meta text-ink2">Counted call by call; not shown here.</p>
      ) : (
        <>
          <div className="my-2">
            <Meter
              label={limitWords(limit)}
              used={used}
              cap={cap}
              said={`${share(used, cap)}, ${shown(used)} of ${shown(cap)}`}
            />
          </div>
          <p className="flex flex-wrap justify-between gap-x-3 text-meta text-ink2">
            <span>
              {shown(used)} used <Pill tone={toneOf(used, cap)}>{share(used, cap)}</Pill>
            </span>
            <span>
              {shown(remaining ?? "0")} left
              {resets_at !== null && `, resets ${dayAndTime(resets_at, time_zone)} ${time_zone}`}
            </span>
          </p>
        </>
      )}
    </>
  )
}

/** Amber from 70, red from 90 per cent, as the bar. */
function toneOf(used: string, cap: string): Tone {
  const percent = ratio(used, cap) ?? 100
  return percent >= 90 ? "bad" : percent >= 70 ? "warn" : "plain"
}
