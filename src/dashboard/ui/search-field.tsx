/** Looks for text in a list; `/` comes here. */
import { INPUT } from "./field.tsx"

export function SearchField({
  label,
  value,
  onChange,
}: {
  label: string
  value: string
  onChange: (text: string | null) => void
}) {
  return (
    <input
      type="search"
      data-search
      aria-label={label}
      placeholder={label}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      className={`${INPUT} max-w-60 max-sm:max-w-none max-sm:flex-1`}
    />
  )
}
