/**
 * OpenAI's SDK through Tallygate: a whole answer, a stream, and what the call has cost. One thing is different from a
 * program that speaks to OpenAI itself: the base URL. Reads TALLYGATE_URL and TALLYGATE_KEY.
 */
import OpenAI from "openai"

const client = new OpenAI({
  baseURL: `${process.env.TALLYGATE_URL}/v1`,
  apiKey: process.env.TALLYGATE_KEY,
  defaultHeaders: { "x-tallygate-tool": "greeter" },
})
const messages = [{ role: "user" as const, content: "Say hello." }]

const { data: answer, response } = await client.chat.completions
  .create({ model: "gpt-4o-mini", messages }, { headers: { "x-tallygate-operation": "greet" } })
  .withResponse()
console.log(answer.choices[0]?.message.content)
console.log(`It cost $${response.headers.get("x-tallygate-cost-usd")}.`)

// A stream is metered whether or not it asks for its usage: Tallygate asks in its place, and keeps that event to itself.
const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "")
process.stdout.write("\n")
