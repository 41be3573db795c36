/**
 * The frame around every page: where one is, where else one can go, whose numbers these are, and whether they are
 * complete. A side bar on wide screens, icons on narrower ones, tabs at the bottom on phones.
 */
import { useQuery } from "@tanstack/react-query"
import { type ReactNode, type RefObject, useEffect, useRef } from "react"
import { Link, useLocation } from "wouter"
import { organizationsQuery } from "../api/directory.ts"
import { isOwnOnly, type Session } from "../api/session.ts"
import { Icon, Logo } from "../ui/icons.tsx"
import { Acts, Choice } from "../ui/menu.tsx"
import { useView } from "../view/use-view.ts"
import { type Place, placesOf } from "./places.ts"
import { RiskBadge } from "./risk-badge.tsx"
import { useShortcuts } from "./shortcuts.ts"
import { TruthLine } from "./truth-line.tsx"
import { UserMenu } from "./user-menu.tsx"

const TABS_MAX = 5

export function Shell({ session, children }: { session: Session; children: ReactNode }) {
  const places = placesOf(session)
  const main = useRef<HTMLElement>(null)
  useShortcuts(places)
  useFreshStart(main)
  return (
    <div className="min-h-dvh sm:grid sm:grid-cols-[56px_minmax(0,1fr)] lg:grid-cols-[224px_minmax(0,1fr)]">
      <a
        href="#main"
        className="fixed top-2 left-2 z-50 -translate-y-20 rounded-control bg-ink px-3 py-2 text-bg focus:translate-y-0"
      >
        Skip to content
      </a>
      <SideBar session={session} places={places} />
      <header className="sticky top-0 z-20 flex h-12 items-center gap-2.5 border-b border-line bg-bg px-4 sm:hidden">
        <Logo />
        <div className="mr-auto min-w-0 font-[650]">
          <OrganizationSwitch session={session} isShort />
        </div>
        <TruthLine isShort />
        <UserMenu session={session} isShort />
      </header>
      <main
        id="main"
        ref={main}
        tabIndex={-1}
        className="mx-auto w-full max-w-[1320px] min-w-0 p-4 pb-24 outline-none sm:px-7 sm:pt-5 sm:pb-10"
      >
        {children}
      </main>
      <BottomTabs places={places} />
    </div>
  )
}

function SideBar({ session, places }: { session: Session; places: readonly Place[] }) {
  const groups = [...new Set(places.map(({ group }) => group))]
  return (
    <aside className="sticky top-0 flex h-dvh flex-col gap-0.5 border-r border-line px-3 py-4 max-lg:px-2 max-sm:hidden">
      <div className="flex items-center gap-2.5 px-2 pt-1 pb-3.5 text-[15px] font-[650] tracking-[-0.01em]">
        <Logo />
        <span className="max-lg:sr-only">Tallygate</span>
      </div>
      <div className="mb-3 max-lg:hidden">
        <OrganizationSwitch session={session} />
      </div>
      <nav aria-label="Main" className="flex flex-col gap-0.5">
        {groups.map((group) => (
          <div key={group} className="contents">
            {group !== "" && <h2 className="px-2.5 pt-3.5 pb-1 text-meta text-ink3 max-lg:sr-only">{group}</h2>}
            {places
              .filter((place) => place.group === group)
              .map((place) => (
                <SideLink key={place.path} place={place} />
              ))}
          </div>
        ))}
      </nav>
      <div className="mt-auto flex flex-col gap-2">
        <UserMenu session={session} />
        <div className="border-t border-line px-2.5 pt-2.5 max-lg:hidden">
          <TruthLine />
        </div>
      </div>
    </aside>
  )
}

function SideLink({ place: { path, name, icon, hasBadge = false } }: { place: Place }) {
  const [current] = useLocation()
  const { href } = useView()
  const isOn = pageOf(current) === pageOf(path)
  return (
    <Link
      href={href(path)}
      title={name}
      aria-current={isOn ? "page" : undefined}
      className={`relative flex items-center gap-2.5 rounded-item px-2.5 py-1.5 max-lg:justify-center max-lg:px-0 max-lg:py-2.5 ${isOn ? "bg-sunken font-semibold text-ink" : "font-[450] text-ink2 hover:text-ink"}`}
    >
      <Icon name={icon} />
      <span className="max-lg:sr-only">{name}</span>
      {hasBadge && <RiskBadge />}
    </Link>
  )
}

const TAB = "flex min-h-11 min-w-0 w-full flex-1 flex-col items-center justify-center gap-0.5 rounded-item text-tick"

/** As many as there is room for; the rest behind the last one. */
function BottomTabs({ places }: { places: readonly Place[] }) {
  const [current, go] = useLocation()
  const { href } = useView()
  const shown = places.length > TABS_MAX ? places.slice(0, TABS_MAX - 1) : places
  const rest = places.slice(shown.length)
  return (
    <nav
      aria-label="Pages"
      className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-surface px-1 pt-1.5 pb-[max(10px,env(safe-area-inset-bottom))] sm:hidden"
    >
      {shown.map(({ path, name, icon, hasBadge = false }) => {
        const isOn = pageOf(current) === pageOf(path)
        return (
          <Link
            key={path}
            href={href(path)}
            aria-current={isOn ? "page" : undefined}
            className={`${TAB} ${isOn ? "font-[650] text-ink" : "text-ink2"}`}
          >
            <span className="relative">
              <Icon name={icon} />
              {hasBadge && <RiskBadge isOnIcon />}
            </span>
            <span className="max-w-full truncate">{name.split(" & ")[0]}</span>
          </Link>
        )
      })}
      {rest.length > 0 && (
        <Acts
          label="More pages"
          className={`${TAB} text-ink2`}
          acts={rest.map(({ path, name }) => ({ text: name, onAct: () => go(href(path)) }))}
        >
          <Icon name="more" />
          More
        </Acts>
      )}
    </nav>
  )
}

/** Several organizations: which one's numbers are shown, or all of them together. */
function OrganizationSwitch({ session, isShort = false }: { session: Session; isShort?: boolean }) {
  const { view, set } = useView()
  const { data: organizations = [] } = useQuery({ ...organizationsQuery, enabled: !isOwnOnly(session) })
  const name = <OrganizationName session={session} />
  if (organizations.length < 2) {
    const frame = isShort ? "" : "rounded-control border border-line bg-surface px-2.5 py-[7px] font-medium"
    return <div className={`truncate ${frame}`}>{name}</div>
  }
  const options = organizations.map((organization) => ({ value: organization.id, text: organization.name }))
  return (
    <Choice
      label="Organization"
      className="w-full justify-between"
      shown={<span className="truncate">{name}</span>}
      value={view.organization ?? ""}
      options={[{ value: "", text: "All organizations" }, ...options]}
      onChoose={(id) => set({ organization: id, project: null, user: null, key: null })}
    />
  )
}

function OrganizationName({ session }: { session: Session }) {
  const { view } = useView()
  const { data: organizations, isPending } = useQuery({ ...organizationsQuery, enabled: !isOwnOnly(session) })
  if (!isOwnOnly(session) && isPending) return "\u00a0"
  // Someone whose role reaches a project alone sees no organization by name.
  if (organizations === undefined || organizations.length === 0) return session.display_name
  const chosen = organizations.find(({ id }) => id === view.organization)
  if (chosen !== undefined) return chosen.name
  return organizations.length === 1 ? (organizations[0]?.name ?? "Tallygate") : "All organizations"
}

/** A new page is read from its top; a sheet over the same page is not a new one. */
function useFreshStart(main: RefObject<HTMLElement | null>): void {
  const [path] = useLocation()
  const shown = useRef(path)
  useEffect(() => {
    if (pageOf(path) === pageOf(shown.current)) return
    shown.current = path
    window.scrollTo(0, 0)
    main.current?.focus({ preventScroll: true })
  }, [path, main])
}

/** `/keys/key_1` stands on the page `/keys`; `/my/usage` is a page of its own. */
function pageOf(path: string): string {
  const [, first = "", second = ""] = path.split("/")
  if (first === "my") return `/my/${second}`
  return first === "users" ? "/projects" : `/${first}`
}
