/** One key: what it may, and the two acts that touch its secret. Each says what it does before it is done. */
import { type ReactNode, useState } from "react"
import { type CreatedKey, type KeyRealm, useRevokeKey, useRotateKey, type VirtualKey } from "../api/directory.ts"
import { mayChange, useSession } from "../api/session.ts"
import { dayAndTime, fullDay } from "../format/moment.ts"
import { Button, ButtonLink } from "../ui/button.tsx"
import { CopyButton } from "../ui/copy.tsx"
import { SelectField } from "../ui/field.tsx"
import { Question, Sheet } from "../ui/sheet.tsx"
import { useToast } from "../ui/toasts.tsx"
import { useView } from "../view/use-view.ts"
import { KeyReveal } from "./key-reveal.tsx"
import { KeyStatus, Limits } from "./keys.tsx"

const OVERLAPS = { "0": "at once", "3600": "in 1 hour", "86400": "in 1 day", "604800": "in 7 days" } as const

type KeySheetProps = {
  realm: KeyRealm
  virtualKey: VirtualKey
  projectName: string
  ownerName: string | null
  onClose: () => void
}

export function KeySheet({ realm, virtualKey: key, projectName, ownerName, onClose }: KeySheetProps) {
  const session = useSession()
  const { href } = useView()
  const [asked, setAsked] = useState<"rotate" | "revoke" | null>(null)
  const [rotated, setRotated] = useState<CreatedKey | null>(null)
  if (rotated !== null) return <KeyReveal created={rotated} title="Key rotated" onClose={onClose} />
  const mayAct = (realm === "own" || mayChange(session, "keys")) && key.revoked_at === null
  const usage = realm === "admin" ? href("/usage", { key: key.id, by: "model" }) : href("/my/usage", { key: key.id })
  return (
    <>
      <Sheet
        title={key.name}
        subtitle={<KeyStatus virtualKey={key} />}
        onClose={onClose}
        foot={
          mayAct && (
            <>
              <Button look="danger" onClick={() => setAsked("revoke")}>
                Revoke key
              </Button>
              <Button onClick={() => setAsked("rotate")}>Rotate key</Button>
            </>
          )
        }
      >
        <Facts>
          <Fact name="Secret">
            <code className="font-mono text-meta">tg_…{key.last4}</code>
          </Fact>
          <Fact name="Project">{projectName}</Fact>
          <Fact name="Owner">{ownerName ?? "Nobody"}</Fact>
          <Fact name="Limits">
            <Limits virtualKey={key} />
          </Fact>
          <Fact name="Models">{key.allowed_models?.join(", ") ?? "Every model that is routed"}</Fact>
          {key.max_cost_usd !== null && <Fact name="One call">at most ${key.max_cost_usd}</Fact>}
          {key.max_output_tokens !== null && <Fact name="Output">at most {key.max_output_tokens} tokens a call</Fact>}
          <Fact name="Created">{fullDay(key.created_at, "UTC")}</Fact>
          <Fact name="Expires">{key.expires_at === null ? "Never" : `${dayAndTime(key.expires_at, "UTC")} UTC`}</Fact>
          {key.previous_valid_until !== null && (
            <Fact name="Old secret">works until {dayAndTime(key.previous_valid_until, "UTC")} UTC</Fact>
          )}
          {key.revoked_at !== null && <Fact name="Revoked">{dayAndTime(key.revoked_at, "UTC")} UTC</Fact>}
          <Fact name="Id">
            <code className="font-mono text-meta">{key.id}</code>
          </Fact>
        </Facts>
        <div className="mt-5 flex flex-wrap gap-2">
          <ButtonLink href={usage}>See its usage</ButtonLink>
          <CopyButton text={key.id} what="id" />
        </div>
      </Sheet>
      {asked === "rotate" && (
        <Rotate realm={realm} virtualKey={key} onDone={setRotated} onClose={() => setAsked(null)} />
      )}
      {asked === "revoke" && <Revoke realm={realm} virtualKey={key} onClose={() => setAsked(null)} onDone={onClose} />}
    </>
  )
}

type ActProps<Done> = { realm: KeyRealm; virtualKey: VirtualKey; onClose: () => void; onDone: (done: Done) => void }

function Rotate({ realm, virtualKey, onClose, onDone }: ActProps<CreatedKey>) {
  const rotate = useRotateKey(realm)
  const [overlap, setOverlap] = useState<keyof typeof OVERLAPS>("86400")
  const act = () =>
    rotate.mutate({ id: virtualKey.id, overlapSeconds: Number(overlap) }, { onSuccess: (created) => onDone(created) })
  return (
    <Question
      title={`Rotate ${virtualKey.name}?`}
      onClose={onClose}
      actions={
        <Button look="primary" onClick={act} disabled={rotate.isPending}>
          Rotate key
        </Button>
      }
    >
      <p className="mb-3">The key gets a new secret, which works at once. Limits and usage stay with the key.</p>
      <SelectField
        label="The old secret stops"
        value={overlap}
        onChange={(event) => setOverlap(event.target.value as keyof typeof OVERLAPS)}
      >
        {Object.entries(OVERLAPS).map(([seconds, words]) => (
          <option key={seconds} value={seconds}>
            {words}
          </option>
        ))}
      </SelectField>
      {rotate.error !== null && <ActError error={rotate.error} />}
    </Question>
  )
}

function Revoke({ realm, virtualKey, onClose, onDone }: ActProps<void>) {
  const revoke = useRevokeKey(realm)
  const toast = useToast()
  const act = () =>
    revoke.mutate(virtualKey.id, {
      onSuccess: () => {
        toast("Key revoked")
        onDone()
      },
    })
  return (
    <Question
      title={`Revoke ${virtualKey.name}?`}
      onClose={onClose}
      actions={
        <Button look="danger" onClick={act} disabled={revoke.isPending}>
          Revoke key
        </Button>
      }
    >
      <p>
        New calls with this key fail within 1 second, and it cannot be brought back. Calls that run now finish. Its
        usage stays.
      </p>
      {revoke.error !== null && <ActError error={revoke.error} />}
    </Question>
  )
}

function ActError({ error }: { error: Error }) {
  return (
    <p role="alert" className="mt-3 text-bad">
      {error.message}
    </p>
  )
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="divide-y divide-line text-table">{children}</dl>
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex gap-4 py-2">
      <dt className="w-32 flex-none text-ink2 max-sm:w-24">{name}</dt>
      <dd className="min-w-0 flex-1">{children}</dd>
    </div>
  )
}
