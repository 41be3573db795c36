/**
 * A sheet from the right, the whole page on phones: forms and details. Focus goes in and comes back to what opened it. A
 * sheet that holds a secret does not close by a click beside it.
 */
import { Dialog } from "@base-ui/react/dialog"
import { type ReactNode, useRef } from "react"
import { Icon } from "./icons.tsx"

export function Sheet({
  title,
  subtitle,
  onClose,
  children,
  foot,
  isSticky = false,
  isWide = false,
}: {
  title: ReactNode
  subtitle?: ReactNode
  onClose: () => void
  children: ReactNode
  foot?: ReactNode
  /** Closes by its buttons alone. */
  isSticky?: boolean
  isWide?: boolean
}) {
  const popup = useRef<HTMLDivElement>(null)
  return (
    <Dialog.Root
      open
      onOpenChange={(open, details) => {
        if (open) return
        if (isSticky && details.reason !== "close-press") return details.cancel()
        onClose()
      }}
    >
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-30 bg-veil" />
        <Dialog.Popup
          ref={popup}
          initialFocus={() => focusedWithin(popup.current) ?? popup.current}
          className={`sheet-motion fixed inset-y-0 right-0 z-40 flex w-full flex-col border-l border-line bg-surface shadow-float outline-none ${isWide ? "sm:max-w-[640px]" : "sm:max-w-[480px]"}`}
        >
          <header className="flex items-start gap-3 border-b border-line px-5 py-4">
            <div className="mr-auto min-w-0">
              <Dialog.Title className="text-head font-[650]">{title}</Dialog.Title>
              {subtitle !== undefined && <div className="mt-1 text-table text-ink2">{subtitle}</div>}
            </div>
            <Dialog.Close
              aria-label="Close"
              className="flex size-8 items-center justify-center rounded-item text-ink2 hover:bg-sunken max-sm:size-11"
            >
              <Icon name="close" />
            </Dialog.Close>
          </header>
          <div className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-5 py-5" tabIndex={-1}>
            {children}
          </div>
          {foot !== undefined && (
            <footer className="flex flex-wrap items-center justify-end gap-2 border-t border-line px-5 py-3">
              {foot}
            </footer>
          )}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

/** A field that took the focus as it came, such as the first one of a form. */
function focusedWithin(element: HTMLElement | null): HTMLElement | null {
  const { activeElement } = document
  return activeElement instanceof HTMLElement && element?.contains(activeElement) === true ? activeElement : null
}

/** A question in the middle, before what cannot be undone. The confirming button repeats verb and object. */
export function Question({
  title,
  children,
  onClose,
  actions,
}: {
  title: string
  children: ReactNode
  onClose: () => void
  actions: ReactNode
}) {
  return (
    <Dialog.Root open onOpenChange={(open) => open || onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-30 bg-veil" />
        <Dialog.Popup className="pop-motion fixed inset-x-4 top-[20vh] z-40 mx-auto max-w-[440px] rounded-card border border-line bg-surface p-5 shadow-float outline-none">
          <Dialog.Title className="text-body font-semibold">{title}</Dialog.Title>
          <Dialog.Description render={<div />} className="mt-2 text-table text-ink2">
            {children}
          </Dialog.Description>
          <div className="mt-5 flex flex-wrap justify-end gap-2">
            <Dialog.Close className="control rounded-control border border-line px-[11px] py-[5px] font-medium">
              Cancel
            </Dialog.Close>
            {actions}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
