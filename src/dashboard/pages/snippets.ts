/** Lines to paste that make the first call with a key; the same as in `docs/quick-starts.md`. */

export const CLIENTS = {
  curl: "curl",
  python: "Python",
  js: "JavaScript",
  claude: "Claude Code",
  codex: "Codex",
} as const
export type Client = keyof typeof CLIENTS

export function snippet(
  client: Client,
  { origin, key, model }: { origin: string; key: string; model: string },
): string {
  switch (client) {
    case "curl":
      return `curl ${origin}/v1/chat/completions \\
  -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" \\
  -d '{ "model": "${model}", "messages": [{ "role": "user", "content": "Say hello." }] }'`
    case "python":
      return `from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${key}")
answer = client.chat.completions.create(
    model="${model}", messages=[{"role": "user", "content": "Say hello."}]
)
print(answer.choices[0].message.content)`
    case "js":
      return `import OpenAI from "openai"

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${key}" })
const answer = await client.chat.completions.create({
  model: "${model}",
  messages: [{ role: "user", content: "Say hello." }],
})
console.log(answer.choices[0].message.content)`
    case "claude":
      return `export ANTHROPIC_BASE_URL=${origin} ANTHROPIC_AUTH_TOKEN=${key}
claude`
    case "codex":
      return `# ~/.codex/config.toml
model = "${model}"
model_provider = "tallygate"

[model_providers.tallygate]
name = "Tallygate"
base_url = "${origin}/v1"
env_key = "TALLYGATE_KEY"
wire_api = "responses"

# then, in a shell
TALLYGATE_KEY=${key} codex`
  }
}
