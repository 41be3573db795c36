/** The sheet of a channel, a digest or a rule: each is named, can be switched off and on, edited, and deleted after a question. */
import { type ReactNode, useState } from "react"
import { mayChange, useSession } from "../../api/session.ts"
import { Button } from "../../ui/button.tsx"
import { Empty } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { Question, Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"

type Switched = { readonly id: string; readonly name: string; readonly disabled_at: string | null }
type Act<Input> = {
  readonly mutate: (input: Input, on: { onSuccess: () => void }) => void
  readonly isPending: boolean
  readonly error: Error | null
}

type SwitchedSheetProps<Thing extends Switched> = {
  /** What it is called, in lower case. */
  noun: string
  /** Undefined where its address leads nowhere. */
  thing: Thing | undefined
  /** Why there is none. */
  missing: string
  /** Under its name; while it is off, what it does not do. */
  subtitle: (thing: Thing) => ReactNode
  off: string
  change: Act<{ id: string; wanted: { disabled: boolean } }>
  /** Called anew for each question, so that an earlier fault does not stand in it. */
  useRemove: () => Act<string>
  /** What follows from deleting it. */
  effect: string
  isFixed?: (thing: Thing) => boolean
  form: (thing: Thing, onClose: () => void) => ReactNode
  detail: (thing: Thing, mayAct: boolean) => ReactNode
  onClose: () => void
}

export function SwitchedSheet<Thing extends Switched>(props: SwitchedSheetProps<Thing>) {
  const { noun, thing, missing, subtitle, off, change, isFixed, form, detail, onClose } = props
  const mayAct = mayChange(useSession(), "alerts")
  const toast = useToast()
  const [act, setAct] = useState<"change" | "delete" | null>(null)
  const leave = () => setAct(null)
  if (thing === undefined) {
    return (
      <Sheet title={`No such ${noun}`} onClose={onClose}>
        <Empty>{missing}</Empty>
      </Sheet>
    )
  }
  if (act === "change") return form(thing, leave)
  const isOff = thing.disabled_at !== null
  const said = isOff ? `${capitalized(noun)} switched on` : `${capitalized(noun)} switched off`
  const toggle = () => change.mutate({ id: thing.id, wanted: { disabled: !isOff } }, { onSuccess: () => toast(said) })
  return (
    <>
      <Sheet
        title={thing.name}
        subtitle={isOff ? <Pill tone="warn">{off}</Pill> : subtitle(thing)}
        onClose={onClose}
        isWide
        foot={
          mayAct && (
            <>
              {isFixed?.(thing) !== true && (
                <Button look="danger" className="mr-auto" onClick={() => setAct("delete")}>
                  Delete
                </Button>
              )}
              <Button onClick={toggle} disabled={change.isPending}>
                {isOff ? "Switch on" : "Switch off"}
              </Button>
              <Button onClick={() => setAct("change")}>Edit</Button>
            </>
          )
        }
      >
        {detail(thing, mayAct)}
        {change.error !== null && (
          <p role="alert" className="mt-3 text-table text-bad">
            {change.error.message}
          </p>
        )}
      </Sheet>
      {act === "delete" && <DeleteQuestion {...props} thing={thing} leave={leave} />}
    </>
  )
}

function DeleteQuestion<Thing extends Switched>({
  noun,
  thing,
  useRemove,
  effect,
  onClose,
  leave,
}: SwitchedSheetProps<Thing> & { thing: Thing; leave: () => void }) {
  const remove = useRemove()
  const toast = useToast()
  const act = () =>
    remove.mutate(thing.id, {
      onSuccess: () => {
        toast(`${capitalized(noun)} deleted`)
        onClose()
      },
    })
  return (
    <Question
      title={`Delete ${thing.name}?`}
      onClose={leave}
      actions={
        <Button look="danger" onClick={act} disabled={remove.isPending}>
          Delete {noun}
        </Button>
      }
    >
      <p>{effect}</p>
      {remove.error !== null && (
        <p role="alert" className="mt-3 text-bad">
          {remove.error.message}
        </p>
      )}
    </Question>
  )
}

function capitalized(noun: string): string {
  return noun.charAt(0).toUpperCase() + noun.slice(1)
}
