/** Text to take along: a secret, an id, a snippet. The button says what happened, also to screen readers. */
import { useEffect, useState } from "react"
import { Button } from "./button.tsx"
import { Icon } from "./icons.tsx"

const SAID_MS = 2_000

export function CopyButton({ text, what, look = "plain" }: { text: string; what: string; look?: "plain" | "primary" }) {
  const [state, setState] = useState<"ready" | "copied" | "refused">("ready")
  useEffect(() => {
    if (state === "ready") return
    const timer = setTimeout(() => setState("ready"), SAID_MS)
    return () => clearTimeout(timer)
  }, [state])
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setState("copied"),
      () => setState("refused"),
    )
  return (
    <Button look={look} onClick={() => void copy()}>
      <Icon name={state === "copied" ? "check" : "copy"} />
      <span aria-live="polite">
        {state === "copied" ? "Copied" : state === "refused" ? "Select and copy it" : `Copy ${what}`}
      </span>
    </Button>
  )
}

/** Lines to paste somewhere, in full and selectable. */
export function Snippet({ text, label }: { text: string; label: string }) {
  return (
    <figure className="rounded-control border border-line bg-sunken">
      <ScrollingText label={label}>{text}</ScrollingText>
      <figcaption className="flex justify-end border-t border-line p-2">
        <CopyButton text={text} what="lines" />
      </figcaption>
    </figure>
  )
}

/** Text that scrolls in both directions, and that the keyboard reaches. */
export function ScrollingText({ label, children }: { label: string; children: string }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: preformatted text has no element that may be named
    <div
      role="group"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so it must be reached
      tabIndex={0}
      className="max-h-72 overflow-auto px-3 py-2.5"
    >
      <pre className="font-mono text-meta whitespace-pre">{children}</pre>
    </div>
  )
}
