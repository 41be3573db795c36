/** What axe finds on a page, of what hinders somebody seriously. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Page } from "playwright-core"

const SOURCE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

type Result = {
  readonly violations: readonly {
    readonly id: string
    readonly impact: string
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
  }[]
}

/** Serious and critical findings, one line each; empty where there are none. */
export async function seriousFindings(page: Page): Promise<string[]> {
  await page.evaluate(SOURCE)
  const { violations } = await page.evaluate<Result>("axe.run(document, { resultTypes: ['violations'] })")
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary = "" }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
    )
}

/** Resolves when nothing on the page waits for its figures any more. */
export async function settled(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor()
  for (;;) {
    const pending = page.locator("[data-pending]")
    if ((await pending.count()) === 0) return
    await pending.first().waitFor({ state: "detached" })
  }
}
