/** Fields of forms: a label that is always there, a hint below, and what is wrong with the value in words. */
import { type ComponentProps, type ReactNode, useId } from "react"

export const INPUT =
  "control w-full min-w-0 rounded-control border border-edge bg-surface px-2.5 py-1 text-body text-ink max-sm:text-[16px] disabled:opacity-55 aria-[invalid=true]:border-bad"

type FieldFrame = { label: string; hint?: ReactNode; error?: string | null; isOptional?: boolean; className?: string }

function Frame({
  id,
  label,
  hint,
  error,
  isOptional,
  className = "",
  children,
}: FieldFrame & { id: string; children: ReactNode }) {
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-table font-medium">
        {label} {isOptional === true && <span className="font-normal text-ink3">optional</span>}
      </label>
      {children}
      {error != null && (
        <p id={`${id}-error`} className="mt-1 text-meta text-bad">
          {error}
        </p>
      )}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="mt-1 text-meta text-ink3">
          {hint}
        </p>
      )}
    </div>
  )
}

function describedBy(id: string, { hint, error }: FieldFrame): string | undefined {
  const ids = [...(error == null ? [] : [`${id}-error`]), ...(hint === undefined ? [] : [`${id}-hint`])]
  return ids.length === 0 ? undefined : ids.join(" ")
}

export function TextField({
  label,
  hint,
  error,
  isOptional,
  className,
  ...rest
}: FieldFrame & ComponentProps<"input">) {
  const id = useId()
  const frame = { label, hint, error, isOptional, className }
  return (
    <Frame id={id} {...frame}>
      <input
        id={id}
        aria-invalid={error != null}
        aria-describedby={describedBy(id, frame)}
        autoComplete="off"
        {...rest}
        className={INPUT}
      />
    </Frame>
  )
}

export function SelectField({
  label,
  hint,
  error,
  isOptional,
  className,
  children,
  ...rest
}: FieldFrame & ComponentProps<"select">) {
  const id = useId()
  const frame = { label, hint, error, isOptional, className }
  return (
    <Frame id={id} {...frame}>
      <select
        id={id}
        aria-invalid={error != null}
        aria-describedby={describedBy(id, frame)}
        {...rest}
        className={INPUT}
      >
        {children}
      </select>
    </Frame>
  )
}

/** Several choices in a row, one of them chosen. */
export function Segments<Value extends string>({
  label,
  value,
  options,
  onChoose,
}: {
  label: string
  value: Value
  options: Readonly<Record<Value, string>>
  onChoose: (value: Value) => void
}) {
  const name = useId()
  return (
    <fieldset className="inline-flex max-w-full overflow-x-auto rounded-control border border-line bg-bg p-0.5">
      <legend className="sr-only">{label}</legend>
      {(Object.entries(options) as [Value, string][]).map(([option, text]) => (
        <label
          key={option}
          className="inline-flex items-center rounded-item px-2.5 py-[3px] text-table font-medium whitespace-nowrap text-ink2 has-checked:bg-surface has-checked:text-ink has-checked:ring-1 has-checked:ring-line has-focus-visible:outline-2 has-focus-visible:outline-accent max-sm:min-h-10 max-sm:px-3"
        >
          <input
            type="radio"
            name={name}
            className="sr-only"
            checked={option === value}
            onChange={() => onChoose(option)}
          />
          {text}
        </label>
      ))}
    </fieldset>
  )
}
