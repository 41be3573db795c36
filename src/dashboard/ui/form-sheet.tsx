/** A form in a sheet: what is wrong with it as a whole on top, its fields, and below them Cancel and the one act. */
import type { FormEvent, ReactNode } from "react"
import { Button } from "./button.tsx"
import { Sheet } from "./sheet.tsx"

export function FormSheet({
  id,
  title,
  subtitle,
  button,
  isPending,
  fault,
  submit,
  onClose,
  isWide = false,
  children,
}: {
  id: string
  title: string
  subtitle?: ReactNode
  /** Verb and object. */
  button: string
  isPending: boolean
  /** What is wrong with none of its fields alone. */
  fault?: string | undefined
  submit: (event: FormEvent<HTMLFormElement>) => void
  onClose: () => void
  isWide?: boolean
  children: ReactNode
}) {
  return (
    <Sheet
      title={title}
      subtitle={subtitle}
      onClose={onClose}
      isWide={isWide}
      foot={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" form={id} disabled={isPending}>
            {button}
          </Button>
        </>
      }
    >
      <form id={id} onSubmit={submit} noValidate className="flex flex-col gap-5">
        {fault !== undefined && (
          <p role="alert" className="rounded-control bg-badsoft px-3 py-2 text-table text-bad">
            {fault}
          </p>
        )}
        {children}
      </form>
    </Sheet>
  )
}
