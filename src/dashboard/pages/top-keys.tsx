/** The keys that spend most, with their share of all. */
import { useQuery } from "@tanstack/react-query"
import { Link } from "wouter"
import type { Query } from "../api/client.ts"
import { summaryQuery } from "../api/usage.ts"
import { change, count, ratio, share, total } from "../format/format.ts"
import { ButtonLink } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { groupId, groupName } from "../view/group-names.ts"
import { useView } from "../view/use-view.ts"

const SHOWN = 5

export function TopKeys({ filter }: { filter: Query }) {
  const { href } = useView()
  const { data, error, refetch, isPlaceholderData } = useQuery(
    summaryQuery("admin", { ...filter, group_by: "key", top: SHOWN }),
  )
  return (
    <Card
      title="Keys that spend most"
      unit="USD"
      className="col-span-12 lg:col-span-5"
      isBusy={isPlaceholderData}
      actions={
        <Link href={href("/usage", { by: "key" })} className="link text-table">
          All keys
        </Link>
      }
    >
      {data === undefined ? (
        error === null ? (
          <Skeleton lines={6} />
        ) : (
          <Failure error={error} what="Keys" retry={() => void refetch()} />
        )
      ) : data.data.length === 0 ? (
        <Empty action={<ButtonLink href={href("/keys/new")}>Create key</ButtonLink>}>
          Keys stand here once they are used. Create one and paste its lines; the first call shows up within a second.
        </Empty>
      ) : (
        <ul>
          {data.data.map((group) => (
            <li key={groupId(group, ["key"])} className="border-b border-line py-2.5 last:border-b-0">
              <p className="flex justify-between gap-3 text-table">
                <Link
                  href={href("/usage", { key: groupId(group, ["key"]), by: "model" })}
                  className="rounded-mark font-medium hover:underline"
                >
                  {groupName(group, ["key"])}
                </Link>
                <span className="font-semibold">{total(group.cost_usd)}</span>
              </p>
              <ShareBar percent={ratio(group.cost_usd, data.totals.cost_usd) ?? 0} />
              <p className="flex justify-between gap-3 text-meta text-ink2">
                <span>{count(group.records)} requests</span>
                <span>
                  {share(group.cost_usd, data.totals.cost_usd)} of all
                  {group.previous && <>, {change(group.cost_usd, group.previous.cost_usd)} vs before</>}
                </span>
              </p>
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

/** Decorative: the share stands below it in figures. */
function ShareBar({ percent }: { percent: number }) {
  return (
    <svg
      viewBox="0 0 100 6"
      preserveAspectRatio="none"
      aria-hidden="true"
      className="my-2 block h-1.5 w-full overflow-hidden rounded-mark bg-sunken"
    >
      <rect width={percent} height="6" fill="var(--bar)" />
    </svg>
  )
}
