/** The limits that a request was counted against, each with the way to where it stands. */
import { useQuery } from "@tanstack/react-query"
import { Link } from "wouter"
import { limitsQuery } from "../api/limits.ts"
import type { UsageRecord } from "../api/usage.ts"
import { Skeleton } from "../ui/card.tsx"
import { useView } from "../view/use-view.ts"
import { useSubjectName } from "./budgets/names.ts"
import { subjectMember, subjectWord } from "./budgets/words.ts"
import { limitWords } from "./limit-words.ts"

export function CountedLimits({ charges }: Pick<UsageRecord, "charges">) {
  const { href } = useView()
  const { data: limits, isPending } = useQuery(limitsQuery)
  const nameOf = useSubjectName(undefined)
  if (isPending) return <Skeleton lines={2} />
  return (
    <ul className="divide-y divide-line text-table">
      {charges.map(({ limit_id: id, window }) => {
        const limit = limits?.find((one) => one.id === id)
        return (
          <li key={`${id} ${window}`} className="flex flex-wrap justify-between gap-x-4 py-2">
            {limit === undefined ? (
              <span className="text-ink2">A limit that was deleted, or lies beyond your role</span>
            ) : (
              <Link href={href(`/budgets/${id}`, {}, "range")} className="link">
                {subjectWord(limit.scope)} {nameOf(limit.scope[subjectMember(limit.scope)] ?? "")}, {limitWords(limit)}
              </Link>
            )}
            <span className="text-ink3">{window}</span>
          </li>
        )
      })}
    </ul>
  )
}
