/**
 * What a start prints. The first run shows the base URL, both keys and a curl line that works as pasted; every later
 * one shows the address alone, since secrets are shown once.
 */
import type { App } from "../app.ts"

export function greeting(
  app: Pick<App, "url" | "adminUrl" | "metricsUrl" | "firstRun" | "version">,
  on: { isSandbox: boolean; providers: readonly string[] },
): string {
  const { firstRun, url } = app
  const listening = `Tallygate ${app.version} listens on ${url}\n${ownListeners(app)}${providerLine(on)}`
  if (firstRun.kind === "done before") return listening
  const key = firstRun.virtualKey
  const model = on.isSandbox ? "sandbox/echo" : "MODEL"
  const admin =
    firstRun.adminKey === null
      ? "  Admin key     the one in TALLYGATE_ADMIN_KEY\n"
      : `  Admin key     ${firstRun.adminKey}\n`
  return `${listening}
First run. These keys are shown once; keep them.

  Base URL      ${url}/v1
  Virtual key   ${key}
${admin}  Dashboard     ${app.adminUrl ?? url}/dashboard

Your first metered call:

  curl ${url}/v1/chat/completions -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' -d '{"model":"${model}","messages":[{"role":"user","content":"Hello, Tallygate!"}]}'

Any OpenAI SDK, unchanged:

  export OPENAI_BASE_URL=${url}/v1 OPENAI_API_KEY=${key}

`
}

function ownListeners({ adminUrl, metricsUrl }: Pick<App, "adminUrl" | "metricsUrl">): string {
  const admin = adminUrl === null ? "" : `The admin API and the dashboard are on ${adminUrl}.\n`
  return metricsUrl === null ? admin : `${admin}The metrics are on ${metricsUrl}/metrics.\n`
}

function providerLine({ isSandbox, providers }: { isSandbox: boolean; providers: readonly string[] }): string {
  const real = providers.length === 0 ? "" : `Providers: ${providers.join(", ")}.\n`
  const sandbox = isSandbox
    ? "The sandbox provider answers sandbox/echo and sandbox/reasoner; it is no real model.\n"
    : ""
  return real + sandbox
}
