/**
 * One price file, from text to rows. YAML is read with the failsafe schema, in which every scalar is text: `0.1` never
 * becomes a float. Every problem is told with its line, so that a catalog can be mended without guessing.
 */
import { type Document, isNode, LineCounter, parseDocument, visit } from "yaml"
import type { z } from "zod"
import { type PeriodOfModel, type PricedModel, type PriceFile, priceFile, type UnitTable } from "./price-book-schema.ts"
import type { PriceRow, RateSheet, Rates } from "./price-row.ts"

export type PriceFileText = { readonly name: string; readonly text: string }

export type PriceProblem = {
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  /** `models.gpt-4o.rates.standard.input`; '' for the file as a whole. */
  readonly path: string
  readonly found: string
  readonly expected: string
}

/** A period replaces the one before it whole: a tier that it does not list has no price any more. */
export type CatalogPeriod = {
  /** Epoch milliseconds; null: since ever. */
  readonly fromMs: number | null
  readonly rows: ReadonlyMap<string, PriceRow>
}

/** A listed model: how ids find it, and what it cost when. */
export type CatalogModel = {
  readonly provider: string
  readonly id: string
  readonly aliases: readonly string[]
  readonly prefixes: readonly string[]
  /** Oldest first. */
  readonly periods: readonly CatalogPeriod[]
  readonly file: string
  readonly line: number
}

export type Catalog =
  | { readonly kind: "read"; readonly models: readonly CatalogModel[] }
  | { readonly kind: "invalid"; readonly problems: readonly PriceProblem[] }

/** Reads one price file; the format is told at the top of the shipped ones. */
export function readCatalog({ name, text }: PriceFileText): Catalog {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { schema: "failsafe", lineCounter, prettyErrors: false })
  const lineAt = (offset: number) => Math.max(1, lineCounter.linePos(offset).line)
  const malformed = document.errors.map(({ pos, message }) => ({
    at: pos[0],
    found: message,
    expected: "well-formed YAML",
  }))
  visit(document, {
    // A few aliases of aliases would let a small file grow without bound; a price file has no use for them.
    Alias: (_, { source, range }) =>
      void malformed.push({ at: range?.[0] ?? 0, found: `*${source}`, expected: "no YAML aliases" }),
  })
  if (malformed.length > 0) {
    const problems = malformed.map(({ at, found, expected }) => ({
      file: name,
      line: lineAt(at),
      path: "",
      found,
      expected,
    }))
    return { kind: "invalid", problems }
  }
  const content: unknown = document.toJS()
  const parsed = priceFile.safeParse(content)
  if (!parsed.success) {
    const problems = leafIssues(parsed.error.issues).map((issue) => ({
      file: name,
      line: lineAt(offsetOf(document, issue.path)),
      path: issue.path.join("."),
      found: found(document, issue.path),
      expected: issue.message,
    }))
    return { kind: "invalid", problems }
  }
  const models = Object.entries(parsed.data.models).map(([id, model]) => ({
    provider: parsed.data.provider,
    id,
    aliases: model.aliases,
    prefixes: model.prefixes,
    periods: periodsOf(parsed.data, id, model),
    file: name,
    line: lineAt(offsetOf(document, ["models", id])),
  }))
  return { kind: "read", models }
}

export type Leaf = { readonly path: readonly PropertyKey[]; readonly message: string }

/** Issues at the deepest place they can be told: a key that does not belong, a record's bad key, a union's last branch. */
export function leafIssues(issues: readonly z.core.$ZodIssue[], above: readonly PropertyKey[] = []): Leaf[] {
  return issues.flatMap((issue): Leaf[] => {
    const path = [...above, ...issue.path]
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: "no such key here; see the top of a shipped price file",
      }))
    }
    if (issue.code === "invalid_key") return leafIssues(issue.issues, path)
    if (issue.code === "invalid_union") {
      const deepest = issue.errors.map((branch) => leafIssues(branch, path)).sort((a, b) => depth(b) - depth(a))[0]
      return deepest !== undefined && depth(deepest) > path.length ? deepest : [{ path, message: issue.message }]
    }
    return [{ path, message: issue.message }]
  })
}

function depth(leaves: readonly Leaf[]): number {
  return Math.max(0, ...leaves.map((leaf) => leaf.path.length))
}

/** Where the value stands, or the nearest thing around it where it is missing. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return isNode(document.contents) && document.contents.range ? document.contents.range[0] : 0
}

function found(document: Document, path: readonly PropertyKey[]): string {
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  if (!isNode(node)) return "nothing"
  const text = node.toString().trim().replace(/\s+/g, " ")
  return text === "" ? "nothing" : text.slice(0, 80)
}

function periodsOf(file: PriceFile, id: string, model: PricedModel): readonly CatalogPeriod[] {
  const periods = model.periods ?? [model]
  return periods.map((period, index) => {
    const until = periods[index + 1]?.from?.text
    const since = period.from?.text ?? (until === undefined ? model.checked.text : `before-${until}`)
    const fromMs = period.from?.atMs ?? null
    const fees = { ...file.fees, ...model.fees, ...period.fees }
    const regions = { ...file.regions, ...model.regions, ...period.regions }
    const { source, checked } = model
    const of = { provider: file.provider, model: id, since, fromMs, source, checked: checked.text }
    return { fromMs, rows: rowsOfPeriod(of, { ...period, fees, regions }) }
  })
}

/** What the rows of a period have in common. `since` names the period in their ids: a date, or the id of a stored price. */
export type PeriodOf = Pick<PriceRow, "provider" | "model" | "source" | "checked"> & {
  readonly since: string
  readonly fromMs: number | null
}

/** One row for each tier that the period lists. */
export function rowsOfPeriod(
  { since, fromMs, ...of }: PeriodOf,
  period: Pick<PeriodOfModel, "rates" | "units" | "fees" | "regions">,
): ReadonlyMap<string, PriceRow> {
  const fees = new Map(Object.entries(period.fees ?? {}))
  const regions = new Map(Object.entries(period.regions ?? {}))
  const tiers = new Set(Object.keys(period.rates ?? {}).map((key) => key.split(">")[0] ?? key))
  if (period.units !== undefined) tiers.add("standard")
  const rows = [...tiers].map((tier): [string, PriceRow] => {
    const id = `${of.provider}/${of.model}@${since}/${tier}`
    const sheets = sheetsOf(id, tier, period.rates ?? {})
    // Sources list unit prices for the standard tier alone; for another one they are not known.
    const units = unitPrices(tier === "standard" ? period.units : undefined)
    const prices = [...sheets.flatMap((sheet) => Object.values(sheet.rates)), ...units.values()]
    const isFree = prices.every((price) => price === 0n)
    return [tier, { ...of, id, tier, effectiveFromMs: fromMs, sheets, units, fees, regions, isFree }]
  })
  return new Map(rows)
}

function sheetsOf(
  rowId: string,
  tier: string,
  rateTable: Readonly<Record<string, Rates>>,
): readonly [RateSheet, ...RateSheet[]] {
  const base: RateSheet = { id: rowId, contextOver: 0, rates: rateTable[tier] ?? {} }
  const over = Object.entries(rateTable)
    .filter(([key]) => key.startsWith(`${tier}>`))
    .map(([key, rates]) => {
      const contextOver = Number(key.slice(tier.length + 1))
      return { id: `${rowId}>${contextOver}`, contextOver, rates }
    })
  return [base, ...over.sort((a, b) => a.contextOver - b.contextOver)]
}

/** `image: { default: { default: a }, high: { 1024x1536: b } }` as `image` → a and `image:high:1024x1536` → b. */
function unitPrices(table: UnitTable | undefined, above = ""): Map<string, bigint> {
  const prices = new Map<string, bigint>()
  for (const [name, price] of Object.entries(table ?? {})) {
    const key = name === "default" && above !== "" ? above : above === "" ? name : `${above}:${name}`
    if (typeof price === "bigint") prices.set(key, price)
    else for (const entry of unitPrices(price, key)) prices.set(...entry)
  }
  return prices
}
