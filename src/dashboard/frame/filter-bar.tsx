/** The filters of a view as chips, each with its way out, and the way to another one. */
import { useState } from "react"
import type { Realm } from "../api/realm.ts"
import { Icon } from "../ui/icons.tsx"
import { useNames } from "../view/use-names.ts"
import { useView } from "../view/use-view.ts"
import { FILTER_NAMES, FILTERS, type FilterName, TRUTH_NAMES, TRUTHS } from "../view/view.ts"
import { FilterSheet } from "./filter-sheet.tsx"

const CHIP =
  "control inline-flex max-w-full items-center gap-1.5 rounded-[7px] bg-accentsoft py-1 pr-1.5 pl-2.5 text-table font-medium"

/** `only`: those that the page goes by; the others wait for pages that have them, and none is added here. */
export function FilterBar({ realm, only = null }: { realm: Realm; only?: readonly FilterName[] | null }) {
  const { view, set } = useView()
  const [isAdding, setAdding] = useState<FilterName | true | null>(null)
  const nameOf = useNames(realm, view.organization ?? undefined)
  const truths = only === null ? TRUTH_NAMES.filter((name) => view.truths[name] !== undefined) : []
  const lists = (only ?? FILTER_NAMES).filter((name) => view.filters[name] !== undefined)
  const count = lists.length + truths.length
  const clear = () => set(Object.fromEntries([...lists, ...truths].map((name) => [name, null])))
  return (
    <>
      {lists.map((name) => {
        const text = (view.filters[name] ?? []).map((value) => nameOf(name, value)).join(", ")
        return (
          <span key={name} className={CHIP}>
            <button
              type="button"
              disabled={only !== null}
              onClick={() => setAdding(name)}
              className="min-w-0 truncate rounded-mark"
            >
              <span className="font-normal text-ink2">{FILTERS[name]}</span> {text}
            </button>
            <Remove label={`Remove filter ${FILTERS[name]} ${text}`} onRemove={() => set({ [name]: null })} />
          </span>
        )
      })}
      {truths.map((name) => (
        <span key={name} className={CHIP}>
          <span>
            {TRUTHS[name]}{" "}
            <span className="font-normal text-ink2">{view.truths[name] === true ? "only" : "left out"}</span>
          </span>
          <Remove label={`Remove filter ${TRUTHS[name]}`} onRemove={() => set({ [name]: null })} />
        </span>
      ))}
      {only === null && (
        <button
          type="button"
          data-search
          onClick={() => setAdding(true)}
          className="control rounded-[7px] border border-dashed border-edge px-2.5 py-[3px] text-table text-ink2 hover:text-ink"
        >
          Add filter
        </button>
      )}
      {count > 1 && (
        <button type="button" onClick={clear} className="link control px-1 text-table">
          Clear filters
        </button>
      )}
      {isAdding !== null && (
        <FilterSheet realm={realm} first={isAdding === true ? null : isAdding} onClose={() => setAdding(null)} />
      )}
    </>
  )
}

function Remove({ label, onRemove }: { label: string; onRemove: () => void }) {
  return (
    <button
      type="button"
      aria-label={label}
      onClick={onRemove}
      className="rounded-mark p-0.5 text-ink2 hover:text-ink max-sm:p-2"
    >
      <Icon name="close" className="size-3.5" />
    </button>
  )
}
