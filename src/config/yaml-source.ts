/**
 * The config file's text as plain data, with the place of every key and value kept for error lines, and references to
 * the environment filled in. The parser's own messages are not passed on: some of them quote the source, and the source
 * holds credentials.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLError } from "yaml"
import { type Environment, interpolate, maskReferences, unmaskReferences } from "./interpolate.ts"
import { type ConfigProblem, describeFound, HIDDEN, printPath } from "./problem.ts"
import { isContainer, type KeyPath } from "./schema-paths.ts"
import { readText } from "./text-value.ts"

type Position = { readonly line: number; readonly column: number }

type Entry = {
  readonly key: Position
  readonly value: Position
  /** The references a value was made from, fit to be shown in its place; null for values written out. */
  readonly written: string | null
}

export type YamlSource = {
  readonly file: string
  /** Undefined where the text is no readable YAML. */
  readonly data: unknown
  readonly problems: readonly ConfigProblem[]
  /** Printed paths of values that a problem stands for already: nothing further can be said about them. */
  readonly unreadable: ReadonlySet<string>
  /** Place of a value; of the nearest mapping around it where it is absent; `key` asks for the key's own place. */
  locate(path: KeyPath, part: "key" | "value"): Position
  /** What stands at a path, in words and without secrets. */
  found(path: KeyPath, value: unknown): string
  /** A problem with the value at a path, found by whoever knows what was expected there. */
  problemAt(path: KeyPath, value: unknown, expected: string): ConfigProblem
}

/** Bounds what aliases can multiply; a config is a few hundred values. */
const VALUES_MAX = 100_000
const DEPTH_MAX = 16

const SYNTAX: { readonly [code: string]: readonly [found: string, expected: string] } = {
  TAB_AS_INDENT: ["a tab", "spaces as indentation"],
  BAD_INDENT: ["a line that is indented differently from its neighbours", "the same indentation within a mapping"],
  MULTIPLE_DOCS: ["a second document", "one document in the file"],
  MISSING_CHAR: ["that a quote, bracket, comma or space is missing", "it here or in a line above"],
  BLOCK_AS_IMPLICIT_KEY: ["a second ': ' on one line", "quotes around values that contain ': '"],
  MULTILINE_IMPLICIT_KEY: ["a key over several lines", "a key followed by ':' on one line"],
  BAD_SCALAR_START: ["a value that begins with a reserved character", "quotes around it"],
  BAD_DQ_ESCAPE: ["an unknown escape in double quotes", "single quotes, or a doubled backslash"],
  TAG_RESOLVE_FAILED: ["a tag", `a plain value (variables are written \${NAME})`],
}

/** Reads YAML 1.2; `file` is only a name for error lines. */
export function readYaml(file: string, text: string, env: Environment): YamlSource {
  const lines = new LineCounter()
  const masked = maskReferences(text)
  const doc = parseDocument(masked, { lineCounter: lines, prettyErrors: false })
  const reader = new Reader(file, doc, lines, env)
  reader.readDocument(masked)
  return reader
}

/** Walks the document once; lives for one parse. */
class Reader implements YamlSource {
  readonly file: string
  readonly problems: ConfigProblem[] = []
  readonly unreadable = new Set<string>()
  data: unknown
  readonly #doc: Document.Parsed
  readonly #lines: LineCounter
  readonly #env: Environment
  readonly #entries = new Map<string, Entry>()
  #valuesLeft = VALUES_MAX
  #hasGivenUp = false

  constructor(file: string, doc: Document.Parsed, lines: LineCounter, env: Environment) {
    this.file = file
    this.#doc = doc
    this.#lines = lines
    this.#env = env
  }

  readDocument(source: string): void {
    const errors = [...this.#doc.errors, ...this.#doc.warnings]
    const duplicates = errors.filter((error) => error.code === "DUPLICATE_KEY")
    // After a syntax error the parser guesses; what it reports next is mostly an echo of the first.
    const syntax = errors.filter((error) => error.code !== "DUPLICATE_KEY").slice(0, 1)
    for (const error of [...duplicates, ...syntax]) this.problems.push(this.#syntaxProblem(error, source))
    if (this.problems.length > 0) return
    const data = this.#doc.contents === null ? {} : (this.#read(this.#doc.contents, [], null) ?? {})
    this.data = this.#hasGivenUp ? undefined : data
  }

  locate(path: KeyPath, part: "key" | "value"): Position {
    const exact = this.#entries.get(printPath(path))
    if (exact !== undefined) return exact[part]
    for (let length = path.length - 1; length > 0; length--) {
      const entry = this.#entries.get(printPath(path.slice(0, length)))
      if (entry !== undefined) return entry.key
    }
    return { line: 1, column: 1 }
  }

  found(path: KeyPath, value: unknown): string {
    const written = this.#entries.get(printPath(path))?.written ?? null
    if (written === null) return describeFound(path, value)
    // A value from the environment may be a credential wherever it was put, so the reference stands for it.
    const shown = describeFound(path, written)
    const isOneReference = /^\$\{\w+\}$/.test(written)
    const reference = isOneReference ? written : shown.startsWith('"') ? shown.slice(1, -1) : HIDDEN
    return value === "" ? `${reference}, which is empty` : `the value of ${reference}`
  }

  problemAt(path: KeyPath, value: unknown, expected: string): ConfigProblem {
    return { ...this.#at(this.locate(path, "value"), path), found: this.found(path, value), expected }
  }

  #read(node: unknown, path: KeyPath, key: Position | null): unknown {
    this.#valuesLeft--
    const target = isAlias(node) ? node.resolve(this.#doc) : node
    const place = this.#placeOf(node)
    const entry: Entry = { key: key ?? place, value: place, written: null }
    this.#entries.set(printPath(path), entry)
    if (target === undefined) return this.#problem(path, "an alias without its anchor", "an anchor (&name) above it")
    if (path.length > DEPTH_MAX || this.#valuesLeft < 0) return this.#giveUp(path)
    if (isMap(target)) return this.#readMap(target.items, path)
    if (isSeq(target)) return target.items.map((item, index) => this.#read(item, [...path, index], null))
    if (!isScalar(target)) return undefined
    return typeof target.value === "string" ? this.#readString(target.value, path, entry) : target.value
  }

  #readMap(items: readonly { key: unknown; value: unknown }[], path: KeyPath): unknown {
    const pairs: [string, unknown][] = []
    for (const item of items) {
      const key = isScalar(item.key) ? unmaskReferences(String(item.key.value)) : null
      const place = this.#placeOf(item.key)
      if (key === null) {
        this.problems.push({ ...this.#at(place, path), found: "a key that is no single value", expected: "a name" })
        continue
      }
      const child = [...path, key]
      const value = this.#read(item.value, child, place)
      // A heading whose entries are all commented out says as much as no heading.
      if ((value === null || value === undefined) && isContainer(child)) continue
      pairs.push([key, value])
    }
    return Object.fromEntries(pairs)
  }

  #readString(raw: string, path: KeyPath, entry: Entry): unknown {
    const result = interpolate(unmaskReferences(raw), this.#env)
    if (result.kind === "text") {
      if (result.written === null) return result.text
      this.#entries.set(printPath(path), { ...entry, written: result.written })
      return readText(path, result.text)
    }
    if (result.kind === "malformed") {
      return this.#problem(
        path,
        "an unfinished or misspelt reference",
        `\${NAME} or \${NAME:-default}; $\${ for a plain \${`,
      )
    }
    const { name } = result
    const expected = `${name} to be set in the environment, or a default: \${${name}:-…}`
    return this.#problem(path, `\${${name}}, which is not set`, expected)
  }

  #giveUp(path: KeyPath): undefined {
    if (this.#hasGivenUp) return
    this.#hasGivenUp = true
    this.#valuesLeft = -1
    this.#problem(path, "too many values, or values too deep", "a config without aliases that multiply")
  }

  #problem(path: KeyPath, found: string, expected: string): undefined {
    this.unreadable.add(printPath(path))
    this.problems.push({ ...this.#at(this.locate(path, "value"), path), found, expected })
  }

  #at(place: Position, path: KeyPath): Pick<ConfigProblem, "file" | "line" | "column" | "path"> {
    return { file: this.file, line: place.line, column: place.column, path: printPath(path) }
  }

  #placeOf(node: unknown): Position {
    const range = typeof node === "object" && node !== null && "range" in node ? node.range : null
    const offset = Array.isArray(range) && typeof range[0] === "number" ? range[0] : 0
    const { line, col } = this.#lines.linePos(offset)
    return { line, column: col }
  }

  #syntaxProblem(error: YAMLError, source: string): ConfigProblem {
    const { line, col } = this.#lines.linePos(error.pos[0])
    const place = { file: this.file, line, column: col, path: "" }
    if (error.code === "DUPLICATE_KEY") {
      const key = /^["']?([\w.-]*)/.exec(source.slice(error.pos[0]))?.[1] ?? ""
      return { ...place, found: `the key ${key} a second time`, expected: "each key once" }
    }
    const [found, expected] = SYNTAX[error.code] ?? ["text that is not YAML", "key: value"]
    return { ...place, found, expected }
  }
}
