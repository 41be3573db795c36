/** Own keys of whoever is logged in: those of the user, or the one key that opened the session. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { ownKeysQuery } from "../api/directory.ts"
import { useSession } from "../api/session.ts"
import { PageHead } from "../frame/page-head.tsx"
import { ButtonLink } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { DataTable } from "../ui/table.tsx"
import { useView } from "../view/use-view.ts"
import { KeyForm } from "./key-form.tsx"
import { KeySheet } from "./key-sheet.tsx"
import { keyColumns } from "./keys.tsx"

const NO_NAMES: ReadonlyMap<string, string> = new Map()
const COLUMNS = new Set(["name", "secret", "limits", "expires", "status"])

export function MyKeysPage({ id }: { id: string | null }) {
  const session = useSession()
  const { href } = useView()
  const [, go] = useLocation()
  const { data: keys, isPending, error, refetch } = useQuery(ownKeysQuery)
  const columns = useMemo(() => keyColumns(NO_NAMES, NO_NAMES).filter((column) => COLUMNS.has(column.id)), [])
  const close = () => go(href("/my/keys"))
  const chosen = keys?.find((key) => key.id === id)
  const mayMake = session.user_id !== undefined
  return (
    <>
      <PageHead title="My keys">
        {mayMake && (
          <ButtonLink look="primary" href={href("/my/keys/new")}>
            Create key
          </ButtonLink>
        )}
      </PageHead>
      <Card title="My keys" unit={keys?.length}>
        {isPending ? (
          <Skeleton lines={4} />
        ) : error !== null ? (
          <Failure error={error} what="Your keys" retry={() => void refetch()} />
        ) : keys?.length === 0 ? (
          <Empty>
            You have no key yet. A key is what your application calls models with. Make one here, or ask an admin of
            your project.
          </Empty>
        ) : (
          <DataTable
            label="My keys"
            columns={columns}
            rows={keys ?? []}
            rowId={(key) => key.id}
            href={(key) => href(`/my/keys/${key.id}`)}
            isChosen={(key) => key.id === id}
          />
        )}
      </Card>
      {!mayMake && (
        <p className="mt-3 text-meta text-ink3">
          This key is bound to no user, so it can make no further keys. It can be rotated and revoked here.
        </p>
      )}
      {id === "new" && mayMake && <KeyForm realm="own" projects={[]} users={[]} onClose={close} />}
      {chosen !== undefined && (
        <KeySheet
          realm="own"
          virtualKey={chosen}
          projectName={chosen.project_id}
          ownerName={session.display_name}
          onClose={close}
        />
      )}
    </>
  )
}
