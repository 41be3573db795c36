/** Live calls on the sandbox with the story's keys, a few a second, until they are stopped. */
import type { MadeKey } from "./people.ts"

const EVERY_MS = 700
const MODELS = ["sandbox/echo", "sandbox/reasoner"] as const
const QUESTIONS = [
  "Where is my order?",
  "Summarize this contract.",
  "Rank these ten results.",
  "Write a test for it.",
] as const

/** Returns what stops them. */
export function startTraffic(url: string, keys: readonly MadeKey[], onFault: (error: unknown) => void): () => void {
  let made = 0
  const timer = setInterval(() => {
    made += 1
    const key = keys[made % keys.length]
    if (key !== undefined) callOnce(url, key.key, made).catch(onFault)
  }, EVERY_MS)
  return () => clearInterval(timer)
}

/** One call, its answer read to the end. Calls that a limit refuses are part of the picture. */
export async function callOnce(url: string, secret: string, nth: number): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: MODELS[nth % MODELS.length],
      stream: nth % 3 === 0,
      messages: [{ role: "user", content: QUESTIONS[nth % QUESTIONS.length] }],
    }),
  })
  await response.arrayBuffer()
  return response
}
