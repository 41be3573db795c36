/** Which page an address means, and whether somebody is logged in to see it. */
import { useQuery } from "@tanstack/react-query"
import { lazy, Suspense } from "react"
import { Redirect, Route, Router, Switch } from "wouter"
import { type Session, sessionQuery } from "./api/session.ts"
import { homeOf } from "./frame/places.ts"
import { Shell } from "./frame/shell.tsx"
import { KeysPage } from "./pages/keys.tsx"
import { MyKeysPage } from "./pages/my-keys.tsx"
import { NotFound } from "./pages/not-found.tsx"
import { OverviewPage } from "./pages/overview.tsx"
import { ProjectsPage } from "./pages/projects.tsx"
import { RequestsPage } from "./pages/requests.tsx"
import { SignIn } from "./pages/sign-in.tsx"
import { UsagePage } from "./pages/usage.tsx"
import { Failure } from "./ui/card.tsx"
import { useTheme } from "./ui/theme.ts"

/** Fetched when they are gone to: the first paint does not wait for their forms. */
const BudgetsPage = lazy(() => import("./pages/budgets/page.tsx").then((room) => ({ default: room.BudgetsPage })))
const AlertsPage = lazy(() => import("./pages/alerts/page.tsx").then((room) => ({ default: room.AlertsPage })))
const PricesPage = lazy(() => import("./pages/prices/page.tsx").then((room) => ({ default: room.PricesPage })))

export function Dashboard() {
  // Follows the system also while nobody is logged in.
  useTheme()
  const { data: session, error, refetch, isPending } = useQuery(sessionQuery)
  if (isPending) return null
  if (error !== null && session === undefined) {
    return (
      <main className="mx-auto max-w-prose p-8">
        <Failure error={error} what="Your session" retry={() => void refetch()} />
      </main>
    )
  }
  return <Router base="/dashboard">{session == null ? <SignIn /> : <Pages session={session} />}</Router>
}

function Pages({ session }: { session: Session }) {
  return (
    <Shell session={session}>
      <Suspense fallback={<div data-pending className="min-h-dvh" />}>
        <PageOfAddress session={session} />
      </Suspense>
    </Shell>
  )
}

function PageOfAddress({ session }: { session: Session }) {
  return (
    <Switch>
      <Route path="/">
        <Redirect to={homeOf(session)} replace />
      </Route>
      <Route path="/overview" component={OverviewPage} />
      <Route path="/usage">
        <UsagePage realm="admin" />
      </Route>
      <Route path="/requests/:id?">{({ id }) => <RequestsPage realm="admin" id={id ?? null} />}</Route>
      <Route path="/keys/:id?">{({ id }) => <KeysPage id={id ?? null} />}</Route>
      <Route path="/projects/:id?">{({ id }) => <ProjectsPage id={id ?? null} />}</Route>
      <Route path="/budgets/:id?">{({ id }) => <BudgetsPage id={id ?? null} />}</Route>
      <Route path="/prices/:act?/:id?">{({ act, id }) => <PricesPage act={act ?? null} id={id ?? null} />}</Route>
      <Route path="/alerts/:tab?/:id?">{({ tab, id }) => <AlertsPage tab={tab ?? "rules"} id={id ?? null} />}</Route>
      <Route path="/my/usage">
        <UsagePage realm="own" />
      </Route>
      <Route path="/my/requests/:id?">{({ id }) => <RequestsPage realm="own" id={id ?? null} />}</Route>
      <Route path="/my/keys/:id?">{({ id }) => <MyKeysPage id={id ?? null} />}</Route>
      <Route>
        <NotFound />
      </Route>
    </Switch>
  )
}
