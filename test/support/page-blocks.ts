/**
 * The fenced blocks of the project's pages, and what each says of itself in a comment before it: which test runs it, or
 * that it is shown only and why. A page whose blocks all are of one kind says so once, at its top.
 *
 *     <!-- runs: test/flow/quick-starts.test.ts -->
 *     <!-- shown only: it needs a display -->
 *     <!-- all run: test/admin/api-page.test.ts -->
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import path from "node:path"

const ROOT = path.join(import.meta.dirname, "../..")

export type PageBlock = {
  /** The page's path in the project. */
  readonly page: string
  /** Of the fence, from 1. */
  readonly line: number
  /** '' where the fence names none. */
  readonly language: string
  /** The nearest heading above, without its marks. */
  readonly heading: string
  readonly text: string
  readonly said:
    | { readonly kind: "runs"; readonly test: string }
    | { readonly kind: "shown" }
    | { readonly kind: "nothing" }
}

/** Every page that is for readers. */
export function pages(): string[] {
  const docs = readdirSync(path.join(ROOT, "docs")).filter((name) => name.endsWith(".md"))
  const others = ["README.md", "CONTRIBUTING.md", "examples/README.md"].filter((name) =>
    existsSync(path.join(ROOT, name)),
  )
  return [...others, ...docs.map((name) => `docs/${name}`)]
}

/** The blocks of a page in their order. */
export function pageBlocks(page: string): PageBlock[] {
  const lines = readFileSync(path.join(ROOT, page), "utf8").split("\n")
  const all = lines.map((line) => /^<!-- all run: (\S+) -->$/.exec(line)?.[1]).find((test) => test !== undefined)
  const blocks: PageBlock[] = []
  let heading = ""
  for (let index = 0; index < lines.length; index += 1) {
    heading = /^#+ (.*)$/.exec(lines[index] ?? "")?.[1] ?? heading
    const fence = /^ *```(.*)$/.exec(lines[index] ?? "")
    if (fence === null) continue
    const end = lines.findIndex((line, at) => at > index && /^ *```$/.test(line))
    if (end < 0) throw new Error(`${page}:${index + 1}: a block that does not end`)
    const text = lines.slice(index + 1, end).map((line) => `${line}\n`)
    blocks.push({
      page,
      heading,
      line: index + 1,
      language: fence[1]?.trim() ?? "",
      text: text.join(""),
      said: saidOf(lines[index - 1] ?? "", all),
    })
    index = end
  }
  return blocks
}

function saidOf(before: string, all: string | undefined): PageBlock["said"] {
  const test = /^<!-- runs: (\S+) -->$/.exec(before)?.[1] ?? all
  if (test !== undefined) return { kind: "runs", test }
  return { kind: /^<!-- shown only: \S.* -->$/.test(before) ? "shown" : "nothing" }
}

/** The blocks of a page that say that this test runs them; `file` is the test's own `import.meta.filename`. */
export function blocksRunBy(file: string, page: string): PageBlock[] {
  const test = path.relative(ROOT, file).split(path.sep).join("/")
  return pageBlocks(page).filter(({ said }) => said.kind === "runs" && said.test === test)
}
