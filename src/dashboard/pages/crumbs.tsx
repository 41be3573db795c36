/** Where one is on the way down: organization, project, user, key. Each step leads back up to itself. */
import { useQuery } from "@tanstack/react-query"
import { Link } from "wouter"
import { organizationsQuery } from "../api/directory.ts"
import { useNames } from "../view/use-names.ts"
import { useView } from "../view/use-view.ts"

const STEPS = ["project", "user", "key"] as const
const NEXT = { project: "users", user: "keys", key: "models" } as const

export function Crumbs() {
  const { view, href } = useView()
  const nameOf = useNames("admin", view.organization ?? undefined)
  const { data: organizations = [] } = useQuery(organizationsQuery)
  const chosen =
    organizations.find(({ id }) => id === view.organization) ??
    (organizations.length === 1 ? organizations[0] : undefined)
  const taken = STEPS.filter((step) => view.filters[step] !== undefined)
  const last = taken.at(-1)
  return (
    <nav aria-label="Breadcrumb" className="mb-1 text-table text-ink3">
      <Link href={href("/usage", { project: null, user: null, key: null, by: "project" })} className="link">
        {chosen?.name ?? "All organizations"}
      </Link>
      {taken.map((step, index) => {
        const below = Object.fromEntries(taken.slice(index + 1).map((name) => [name, null]))
        const text = (view.filters[step] ?? []).map((value) => nameOf(step, value)).join(", ")
        return (
          <span key={step}>
            {" / "}
            <Link href={href("/usage", { ...below, by: step === "key" ? "model" : "key" })} className="link">
              {text}
            </Link>
          </span>
        )
      })}
      {" / "}
      all {last === undefined ? "projects" : NEXT[last]}
    </nav>
  )
}
