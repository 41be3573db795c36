/** Buttons and links that look like them: verb and object. The primary one is ink on paper; there is one on a page. */
import type { ComponentProps } from "react"
import { Link } from "wouter"

const LOOKS = {
  plain: "border-line bg-surface text-ink hover:border-edge",
  primary: "border-ink bg-ink text-bg hover:opacity-90",
  danger: "border-bad bg-surface text-bad hover:bg-badsoft",
  quiet: "border-transparent text-ink2 hover:bg-sunken hover:text-ink",
} as const
export type ButtonLook = keyof typeof LOOKS

export function buttonClass(look: ButtonLook = "plain", more = ""): string {
  return `control inline-flex items-center justify-center gap-2 rounded-control border px-[11px] py-[5px] text-body font-medium whitespace-nowrap transition-colors disabled:opacity-55 ${LOOKS[look]} ${more}`
}

export function Button({ look = "plain", className = "", ...rest }: ComponentProps<"button"> & { look?: ButtonLook }) {
  return <button type="button" {...rest} className={buttonClass(look, className)} />
}

export function ButtonLink({
  look = "plain",
  className = "",
  ...rest
}: ComponentProps<"a"> & { href: string; look?: ButtonLook }) {
  return <Link {...rest} className={buttonClass(look, className)} />
}

/** A button that is words alone, in the colour of links. */
export function TextButton({ className = "", ...rest }: ComponentProps<"button">) {
  return <button type="button" {...rest} className={`link text-table whitespace-nowrap max-sm:min-h-11 ${className}`} />
}
