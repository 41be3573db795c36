/** Goes to the request of an id, such as the x-request-id of an answer. */
import type { FormEvent } from "react"
import { useLocation } from "wouter"
import { INPUT } from "../ui/field.tsx"
import { useView } from "../view/use-view.ts"

export function FindRequest({ path }: { path: string }) {
  const { href } = useView()
  const [, go] = useLocation()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const id = String(new FormData(event.currentTarget).get("id")).trim()
    if (id !== "") go(href(`${path}/${encodeURIComponent(id)}`))
  }
  return (
    <form onSubmit={submit} className="max-sm:w-full">
      <input
        name="id"
        type="search"
        aria-label="Go to a request id"
        placeholder="Go to a request id"
        className={`${INPUT} sm:w-64`}
      />
    </form>
  )
}
