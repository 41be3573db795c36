/** The pages that there are, and who sees them in which order. */
import type { Session } from "../api/session.ts"
import { isOwnOnly } from "../api/session.ts"
import type { IconName } from "../ui/icons.tsx"

export type Place = {
  readonly path: string
  readonly name: string
  readonly icon: IconName
  /** Heading in the side bar; '' for what stands on top. */
  readonly group: "" | "Control" | "Watch" | "Mine"
  /** The key after `g` that goes there. */
  readonly letter: string
  /** Holds how many budgets are at risk. */
  readonly hasBadge?: boolean
}

const ADMIN: readonly Place[] = [
  { path: "/overview", name: "Overview", icon: "overview", group: "", letter: "o" },
  { path: "/usage", name: "Usage", icon: "usage", group: "", letter: "u" },
  { path: "/requests", name: "Requests", icon: "requests", group: "", letter: "r" },
  {
    path: "/budgets",
    name: "Budgets & limits",
    icon: "budget",
    group: "Control",
    letter: "b",
    hasBadge: true,
  },
  { path: "/keys", name: "Keys", icon: "key", group: "Control", letter: "k" },
  { path: "/projects", name: "Projects & users", icon: "people", group: "Control", letter: "p" },
  { path: "/prices", name: "Models & prices", icon: "price", group: "Control", letter: "m" },
  { path: "/alerts", name: "Alerts", icon: "bell", group: "Watch", letter: "a" },
]
const OWN: readonly Place[] = [
  { path: "/my/usage", name: "My usage", icon: "usage", group: "", letter: "u" },
  { path: "/my/requests", name: "My requests", icon: "requests", group: "", letter: "r" },
  { path: "/my/keys", name: "My keys", icon: "key", group: "", letter: "k" },
]

/** Someone with a role sees what the role reaches, and, being a person, what is their own. */
export function placesOf(session: Session): readonly Place[] {
  if (isOwnOnly(session)) return OWN
  const own = OWN.map((place) => ({ ...place, group: "Mine" as const, letter: "" }))
  return session.kind === "user" ? [...ADMIN, ...own] : ADMIN
}

export function homeOf(session: Session): string {
  return placesOf(session)[0]?.path ?? "/overview"
}
