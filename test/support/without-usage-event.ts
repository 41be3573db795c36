/** A stream as a caller sees it that did not ask for usage, found by another road than the proxy's: by text, in one piece. */

/** The SSE answer without the events that carry a usage object and no choice. */
export function withoutUsageEvent(answer: Buffer): Buffer {
  const blocks = answer.toString("latin1").split(/(?<=\r\n\r\n|[^\r]\n\n|^\n\n|\r\r(?!\n))/)
  return Buffer.from(blocks.filter((block) => !isUsageAlone(block)).join(""), "latin1")
}

function isUsageAlone(block: string): boolean {
  const data = block
    .replace(/^\xef\xbb\xbf/, "")
    .split(/\r\n|\r|\n/)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).replace(/^ /, ""))
  try {
    const chunk = JSON.parse(Buffer.from(data.join("\n"), "latin1").toString("utf8"))
    return chunk.choices.length === 0 && typeof chunk.usage === "object" && chunk.usage !== null
  } catch {
    // No JSON, or none with choices: not a usage event.
    return false
  }
}
