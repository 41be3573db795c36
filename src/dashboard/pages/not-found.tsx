/** An address that means no page. */
import { ButtonLink } from "../ui/button.tsx"
import { Empty } from "../ui/card.tsx"

export function NotFound() {
  return (
    <>
      <h1 className="text-head font-[650]">No such page</h1>
      <Empty action={<ButtonLink href="/">Go to the first page</ButtonLink>}>
        The address may come from another version of Tallygate, or have lost a part on the way here.
      </Empty>
    </>
  )
}
