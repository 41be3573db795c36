/**
 * An agent of the Vercel AI SDK through Tallygate, with a tool that asks a model itself and one that pays for something
 * else. Every step is on record with the program that made it (tool), what it was doing (operation) and the run that it
 * belongs to (conversation), so that one question to Tallygate answers what a run has cost. Reads TALLYGATE_URL and
 * TALLYGATE_KEY.
 */
import { createOpenAI } from "@ai-sdk/openai"
import { generateText, stepCountIs, ToolLoopAgent, tool } from "ai"
import { z } from "zod"
import { Tallygate } from "./tallygate-client.ts"

const conversation = process.argv[2] ?? `trip-${crypto.randomUUID()}`
const { TALLYGATE_URL: url, TALLYGATE_KEY: apiKey = "" } = process.env

/** Models as the agent's own steps, and as each of its tools, ask for them: they differ in what they say of themselves. */
function modelsFor(name: string, operation: string) {
  const headers = {
    "x-tallygate-tool": name,
    "x-tallygate-operation": operation,
    "x-tallygate-conversation": conversation,
  }
  return createOpenAI({ baseURL: `${url}/v1`, apiKey, headers })
}

// The search engine is no model, and its calls do not pass the proxy: they are reported.
const tg = new Tallygate({ defaults: { conversation } })

const searchFlights = tool({
  description: "Flights between two cities on a day.",
  inputSchema: z.object({ from: z.string(), to: z.string(), day: z.string() }),
  execute: ({ from, to, day }) =>
    tg.call({ provider: "acme-flights", tool: "search_flights", operation: "search" }, (call) => {
      call.usage({ cost_usd: "0.004" })
      return `${day}: ${from} 07:40, ${to} 09:05, 119 EUR`
    }),
})

const translate = tool({
  description: "Translates a text into another language.",
  inputSchema: z.object({ text: z.string(), language: z.string() }),
  execute: async ({ text, language }) => {
    const model = modelsFor("translate", "translate").chat("gpt-4o-mini")
    return (await generateText({ model, prompt: `Translate into ${language}: ${text}` })).text
  },
})

const agent = new ToolLoopAgent({
  model: modelsFor("trip-planner", "plan").chat("gpt-4o-mini"),
  instructions: "You plan trips. Look for flights, and answer in the traveller's language.",
  tools: { search_flights: searchFlights, translate },
  stopWhen: stepCountIs(8),
})

const { text, steps } = await agent.generate({ prompt: "Ich möchte am 1. Dezember von Zürich nach Wien." })
await tg.close()
console.log(text)
console.log(`${steps.length} steps; booked beside them: $${tg.totals.costUsd}`)
