/**
 * Speech by ElevenLabs through Tallygate, by ElevenLabs's own path behind the provider's name: `/elevenlabs/v1/…`. It is
 * billed by the characters of its text. Reads TALLYGATE_URL and TALLYGATE_KEY; the provider `elevenlabs` must be on
 * (docs/providers.md).
 */
import { writeFile } from "node:fs/promises"

const [voice = "JBFqnCBsd6RMkjVDRZzb", file = "speech.mp3"] = process.argv.slice(2)

const response = await fetch(`${process.env.TALLYGATE_URL}/elevenlabs/v1/text-to-speech/${voice}`, {
  method: "POST",
  headers: {
    "xi-api-key": `${process.env.TALLYGATE_KEY}`,
    "content-type": "application/json",
    "x-tallygate-tool": "announcer",
  },
  body: JSON.stringify({ text: "The train to Zürich leaves from platform four.", model_id: "eleven_flash_v2_5" }),
})
if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)

await writeFile(file, Buffer.from(await response.arrayBuffer()))
console.log(`${file}, on record as ${response.headers.get("x-request-id")}`)
