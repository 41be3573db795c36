/** What a change did, in one line that leaves by itself: the verb of the button, in the past. At the left, where it covers no button of a sheet. */
import { Toast } from "@base-ui/react/toast"
import type { ReactNode } from "react"
import { Icon } from "./icons.tsx"

export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider timeout={6_000}>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="fixed bottom-20 left-4 z-50 flex w-[calc(100vw-2rem)] flex-col gap-2 sm:bottom-6 sm:left-20 sm:w-80 lg:left-60">
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  )
}

/** Says something to everyone: a sentence without a full stop, such as "Key revoked". */
export function useToast(): (title: string) => void {
  const { add } = Toast.useToastManager()
  return (title) => add({ title })
}

function ToastList() {
  const { toasts } = Toast.useToastManager()
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className="pop-motion flex items-center gap-3 rounded-control border border-(--floatline) bg-ink px-4 py-3 text-bg shadow-float"
    >
      <Icon name="check" />
      <Toast.Content className="min-w-0 flex-1">
        <Toast.Title className="text-table font-medium" />
      </Toast.Content>
      <Toast.Close aria-label="Close" className="rounded-item p-1">
        <Icon name="close" />
      </Toast.Close>
    </Toast.Root>
  ))
}
