/** Tallygate's own version, from the one place where it stands. */
import { readFileSync } from "node:fs"

export function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  const found: unknown = JSON.parse(text).version
  return typeof found === "string" ? found : "0.0.0"
}
