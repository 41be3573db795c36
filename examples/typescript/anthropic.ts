/**
 * Anthropic's SDK through Tallygate: a message, and a stream of one. The base URL has no `/v1`, since the SDK adds it. Reads
 * TALLYGATE_URL and TALLYGATE_KEY.
 */
import Anthropic from "@anthropic-ai/sdk"

const client = new Anthropic({
  baseURL: process.env.TALLYGATE_URL,
  apiKey: process.env.TALLYGATE_KEY,
  defaultHeaders: { "x-tallygate-tool": "greeter", "x-tallygate-conversation": "visitor-12" },
})
const question = {
  model: "claude-sonnet-4-5",
  max_tokens: 1000,
  messages: [{ role: "user" as const, content: "Say hello." }],
}

const answer = await client.messages.create(question)
for (const block of answer.content) if (block.type === "text") console.log(block.text)

const stream = client.messages.stream(question)
stream.on("text", (text) => process.stdout.write(text))
await stream.finalMessage()
process.stdout.write("\n")
