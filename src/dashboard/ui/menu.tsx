/** Menus: choices of one thing, or acts on a row. By mouse, by arrows and letters, by touch. */
import { Menu as Base } from "@base-ui/react/menu"
import type { ReactNode } from "react"
import { buttonClass } from "./button.tsx"
import { Icon } from "./icons.tsx"

const POPUP =
  "pop-motion min-w-44 max-h-[min(520px,75vh)] overflow-y-auto rounded-control border border-line bg-surface p-1 shadow-float outline-none"
const ITEM =
  "control flex w-full cursor-default items-center gap-3 rounded-item px-2.5 py-1.5 text-table outline-none data-[highlighted]:bg-sunken"

function Popup({ children, align = "start" }: { children: ReactNode; align?: "start" | "end" }) {
  return (
    <Base.Portal>
      <Base.Positioner sideOffset={6} align={align} className="z-50 outline-none">
        <Base.Popup className={POPUP}>{children}</Base.Popup>
      </Base.Positioner>
    </Base.Portal>
  )
}

export type Option<Value extends string> = { readonly value: Value; readonly text: string; readonly more?: string }

/** A button that says what is chosen, and offers the rest. */
export function Choice<Value extends string>({
  label,
  shown,
  value,
  options,
  onChoose,
  className = "",
  children,
}: {
  /** What is chosen here; said to screen readers before the value. */
  label: string
  shown: ReactNode
  value: Value | null
  options: readonly Option<Value>[]
  onChoose: (value: Value) => void
  className?: string
  /** Further items below the options. */
  children?: ReactNode
}) {
  return (
    <Base.Root>
      <Base.Trigger className={buttonClass("plain", `max-w-full ${className}`)}>
        <span className="sr-only">{label}: </span>
        {shown}
        <Icon name="down" className="text-ink3" />
      </Base.Trigger>
      <Popup>
        <Base.RadioGroup value={value} onValueChange={(chosen: Value) => onChoose(chosen)}>
          {options.map((option) => (
            <Base.RadioItem key={option.value} value={option.value} className={ITEM} closeOnClick>
              <span className="w-4">
                <Base.RadioItemIndicator>
                  <Icon name="check" />
                </Base.RadioItemIndicator>
              </span>
              <span>{option.text}</span>
              {option.more !== undefined && <span className="ml-auto pl-4 text-meta text-ink3">{option.more}</span>}
            </Base.RadioItem>
          ))}
        </Base.RadioGroup>
        {children}
      </Popup>
    </Base.Root>
  )
}

export type Act = {
  readonly text: string
  readonly onAct: () => void
  readonly isDangerous?: boolean
  readonly href?: string
}

/** Acts on one thing, behind a button with a name or three dots. */
export function Acts({
  label,
  acts,
  children,
  align = "end",
  look = "quiet",
  className,
}: {
  label: string
  acts: readonly Act[]
  children?: ReactNode
  align?: "start" | "end"
  look?: "quiet" | "plain"
  /** In place of the look of a button. */
  className?: string
}) {
  return (
    <Base.Root>
      <Base.Trigger
        aria-label={children === undefined ? label : undefined}
        className={
          children === undefined
            ? "inline-flex size-8 items-center justify-center rounded-item text-ink2 hover:bg-sunken max-sm:size-11"
            : (className ?? buttonClass(look))
        }
      >
        {children ?? <Icon name="more" />}
      </Base.Trigger>
      <Popup align={align}>
        {acts.map(({ text, onAct, href, isDangerous = false }) =>
          href === undefined ? (
            <Base.Item key={text} onClick={onAct} className={`${ITEM} ${isDangerous ? "text-bad" : ""}`}>
              {text}
            </Base.Item>
          ) : (
            <Base.Item key={text} render={<a href={href} download />} onClick={onAct} className={ITEM}>
              {text}
            </Base.Item>
          ),
        )}
      </Popup>
    </Base.Root>
  )
}

/** A line between groups of a menu's items. */
export function MenuLine() {
  return <Base.Separator className="my-1 h-px bg-line" />
}

export function MenuItem({ children, onAct }: { children: ReactNode; onAct: () => void }) {
  return (
    <Base.Item className={ITEM} onClick={onAct}>
      <span className="w-4" />
      {children}
    </Base.Item>
  )
}
