/**
 * Calls a provider directly, four at a time, and reports each call to Tallygate. Reads TALLYGATE_URL and TALLYGATE_KEY.
 * `summarize` stands in for whatever your program asks a provider for.
 */
import { Tallygate } from "./tallygate-client.ts"

/** A summary, and the tokens that the provider says it has counted: put your own call here. */
async function summarize(document: string): Promise<{ text: string; inputTokens: number; outputTokens: number }> {
  if (document === "") throw new Error("an empty document")
  return { text: document.slice(0, 20), inputTokens: 40 + Math.floor(document.length / 4), outputTokens: 12 }
}

await using tg = new Tallygate({ defaults: { tool: "nightly-summary" } })

async function work(number: number): Promise<void> {
  // The fifth document is empty: its failure is reported, and is still the program's own to handle.
  const document = number === 5 ? "" : `Document ${number}. `.repeat(40)
  const what = { provider: "openai", model: "gpt-4o-mini", operation: "summarize", conversation: `doc-${number}` }
  try {
    await tg.call(what, async (call) => {
      const { inputTokens, outputTokens } = await summarize(document)
      call.usage({ input_tokens: inputTokens, output_tokens: outputTokens })
    })
  } catch (error) {
    console.log(`document ${number}: ${(error as Error).message}`)
  }
}

const numbers = Array.from({ length: 12 }, (_, number) => number)
while (numbers.length > 0) await Promise.all(numbers.splice(0, 4).map(work))

// Room for what is dear, before it is made.
const video = { provider: "acme-video", model: "v2", units: 30, unit_type: "seconds", cost_usd: "1.50" }
const hold = await tg.hold({ ...video, expires_in: 600 })
if (hold.state === "refused") console.log(`no video today: ${hold.reason}`)
else await tg.call({ ...video, cost_usd: "1.35", operation: "trailer", hold }, () => undefined) // make it here

await tg.flush()
const { records, tokens, costUsd, overLimit } = tg.totals
console.log(`booked ${records} records, ${tokens} tokens, $${costUsd}`)
for (const { used, cap, kind, window } of overLimit.values()) {
  console.log(`over its limit: ${used} of ${cap} ${kind} this ${window}`)
}
