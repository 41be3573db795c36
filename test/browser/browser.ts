/** A real Chromium for tests and pictures, and the log-in that each page of it begins with. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core"
import { findChromiumBinary } from "../support/chromium-binary.ts"

/** The tests' machine has no network but its own: without these the browser tries to reach its maker at every start. */
const QUIET = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--font-render-hinting=none"],
]

export async function openBrowser(): Promise<Browser> {
  const { path, environment } = findChromiumBinary()
  return chromium.launch({ executablePath: path, args: QUIET, env: { ...process.env, ...environment } })
}

export type Look = {
  readonly width: number
  readonly height?: number
  readonly theme?: "light" | "dark"
}

/** What went wrong in a page: errors of scripts, refusals by its content policy, requests to anywhere but its server. */
export type Faults = string[]

/** A page without a session. */
export async function openPage(
  browser: Browser,
  url: string,
  look: Look,
): Promise<{ context: BrowserContext; page: Page; faults: Faults }> {
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width: look.width, height: look.height ?? 900 },
    colorScheme: look.theme ?? "light",
    reducedMotion: "reduce",
    deviceScaleFactor: 1,
    locale: "en-GB",
    permissions: ["clipboard-read", "clipboard-write"],
  })
  const page = await context.newPage()
  const faults: Faults = []
  page.on("pageerror", (error) => void faults.push(`error: ${error.message}`))
  page.on("console", (message) => {
    const isRefusal = /Content Security Policy|Refused to/i.test(message.text())
    if (isRefusal) faults.push(`policy: ${message.text()}`)
  })
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !/^(data|blob):/.test(request.url()))
      faults.push(`request to ${request.url()}`)
  })
  return { context, page, faults }
}

/** Logs in on the page, as a person would. */
export async function logInWith(
  page: Page,
  credential: { readonly adminKey: string } | { readonly virtualKey: string },
): Promise<void> {
  await page.goto("/dashboard/")
  const [way, secret] =
    "adminKey" in credential
      ? (["Admin key", credential.adminKey] as const)
      : (["Virtual key", credential.virtualKey] as const)
  await page.getByRole("radio", { name: way }).check({ force: true })
  await page.getByLabel(way, { exact: true }).and(page.locator("input[name=secret]")).fill(secret)
  await page.getByRole("button", { name: "Log in" }).click()
  await page.getByRole("navigation").first().waitFor({ state: "attached" })
}
