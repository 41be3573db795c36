/** What stands where requests will stand: the lines that make the first one. */
import { ButtonLink } from "../ui/button.tsx"
import { Snippet } from "../ui/copy.tsx"
import { useView } from "../view/use-view.ts"

export function FirstSteps() {
  const { href } = useView()
  const lines = `export OPENAI_BASE_URL=${location.origin}/v1 OPENAI_API_KEY=tg_…`
  return (
    <div className="flex flex-col items-start gap-3 py-2">
      <p className="text-body text-ink2">
        Requests stand here as they come. Point any OpenAI SDK at Tallygate, with one of its keys:
      </p>
      <div className="w-full">
        <Snippet text={lines} label="Lines for an OpenAI SDK" />
      </div>
      <ButtonLink href={href("/keys/new")}>Create key</ButtonLink>
    </div>
  )
}
