/**
 * The OpenAPI description as one page of plain HTML: no script, no font, no request to anybody else. Pure. What a
 * viewer from a package would add, trying calls from the page, the dashboard does.
 */
import { html, raw } from "hono/html"
import {
  type ApiDescription,
  note,
  type Operation,
  type Row,
  routesBySection,
  rowsOf,
  typeOf,
} from "./api-description.ts"

type Html = ReturnType<typeof html>

/** The whole page; `styleNonce` is that of the content policy. */
export function docsPage(api: ApiDescription, styleNonce: string): Html {
  const sections = routesBySection(api)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${api.info.title}</title>
<style nonce="${styleNonce}">${raw(STYLE)}</style>
</head>
<body>
<header><h1>${api.info.title}</h1><p>Version ${api.info.version} · <a href="/openapi.json">openapi.json</a></p></header>
<nav aria-label="Sections"><ul>
${sections.map(([title]) => html`<li><a href="#${anchorOf(title)}">${title}</a></li>`)}
</ul></nav>
<main>
<p>${prose(api.info.description ?? "")}</p>
${sections.map(
  ([title, routes]) => html`<section id="${anchorOf(title)}"><h2>${title}</h2>
${routes.map(({ path, method, operation }) => route(api, path, method, operation))}</section>`,
)}
</main>
</body>
</html>`
}

function route(api: ApiDescription, path: string, method: string, operation: Operation): Html {
  const [status = "", success] = Object.entries(operation.responses ?? {}).find(([code]) => code.startsWith("2")) ?? []
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: where, required, description, schema }): Row => ({
      name,
      type: `${typeOf(api, schema)}, in the ${where}${required === true ? ", required" : ""}`,
      note: note(schema, description),
      depth: 0,
    }),
  )
  const body = operation.requestBody?.content?.["application/json"]?.schema
  const answer = success?.content?.["application/json"]?.schema
  const id = anchorOf(`${method}-${path}`)
  return html`<article id="${id}">
<h3><a href="#${id}"><span class="method">${method}</span> <code>${path}</code></a></h3>
<p>${success?.description ?? ""}</p>
${details("Parameters", parameters)}
${details("Body", rowsOf(api, body, 0))}
${details(`Answer ${status}`, rowsOf(api, answer, 0))}
</article>`
}

function details(title: string, rows: readonly Row[]): Html | string {
  if (rows.length === 0) return ""
  return html`<details><summary>${title}</summary><table>
<thead><tr><th>Name</th><th>Type</th><th>Meaning</th></tr></thead><tbody>
${rows.map(
  ({ name, type, note, depth }) =>
    html`<tr><td class="depth-${depth}"><code>${name}</code></td><td>${type}</td><td>${note}</td></tr>`,
)}</tbody></table></details>`
}

/** An id that a link can name. */
function anchorOf(text: string): string {
  return text.replace(/[^\w-]+/g, "-")
}

/** Text in which backticks mark code. */
function prose(text: string): Html[] {
  return text.split("`").map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d8dbe0, #33373d); --soft: light-dark(#5b626b, #9aa2ad);
  --accent: light-dark(#0b5c4d, #6fd3bd); --back: light-dark(#ffffff, #15171a); --mark: light-dark(#eef3f1, #1e2a27) }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0; background: var(--back); display: grid;
  grid-template: "head head" auto "nav main" 1fr / 13rem minmax(0, 1fr) }
header { grid-area: head; padding: 1.25rem 1.5rem; border-bottom: 1px solid var(--line) }
h1 { font-size: 1.35rem; margin: 0 } header p { margin: 0; color: var(--soft) }
nav { grid-area: nav; padding: 1rem 1.5rem } nav ul { list-style: none; padding: 0; margin: 0; position: sticky; top: 1rem }
main { grid-area: main; padding: 0 1.5rem 4rem; max-width: 60rem }
h2 { margin: 2.5rem 0 0.5rem } article { border-top: 1px solid var(--line); padding: 0.75rem 0 }
h3 { font-size: 1rem; margin: 0 } h3 a { color: inherit; text-decoration: none }
a { color: var(--accent) } .method { color: var(--accent); font-weight: 600; display: inline-block; min-width: 4.5rem }
article p { margin: 0.25rem 0 0.5rem } summary { cursor: pointer; color: var(--soft) }
code { font: 0.92em ui-monospace, monospace; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; margin: 0.4rem 0 } th { text-align: left; color: var(--soft); font-weight: 500 }
td, th { padding: 0.3rem 0.75rem 0.3rem 0; vertical-align: top; border-bottom: 1px solid var(--line) }
.depth-1 { padding-left: 1.25rem } .depth-2 { padding-left: 2.5rem } .depth-3 { padding-left: 3.75rem }
:target > h3 { background: var(--mark) } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
@media (max-width: 45rem) { body { display: block } nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; position: static }
  td { display: block; border: 0; padding: 0 } thead { display: none } tr { display: block; padding: 0.4rem 0; border-bottom: 1px solid var(--line) } }
`
