/**
 * The price book: which row priced a model, in a tier, at an instant. It stands on the request path, so how an id
 * matches is decided once and remembered; a book never changes, a reload makes a new one. What is not listed is
 * unpriced with a reason, never 0.
 *
 * Most installations call few of the providers whose prices are shipped, and reading all of them takes a second of
 * processor time. A file that is named after its provider can therefore wait until somebody asks for that provider.
 */
import { isSnapshotOf, spellings } from "./model-name.ts"
import {
  type CatalogModel,
  type CatalogPeriod,
  type PriceFileText,
  type PriceProblem,
  readCatalog,
} from "./price-catalog.ts"
import { type PriceRow, tierName } from "./price-row.ts"

export type { PriceFileText, PriceProblem } from "./price-catalog.ts"

/** The served model and the served tier decide; `atMs` is when the call arrived, in epoch milliseconds. */
export type PriceQuestion = {
  readonly provider: string
  readonly model: string
  readonly tier: string
  readonly atMs: number
}

export type FoundPrice =
  | { readonly kind: "found"; readonly row: PriceRow }
  | { readonly kind: "unpriced"; readonly reason: string }

export type FoundRows =
  | { readonly kind: "found"; readonly rows: readonly [PriceRow, ...PriceRow[]] }
  | { readonly kind: "unpriced"; readonly reason: string }

export type LoadedPriceBook =
  | { readonly kind: "loaded"; readonly book: PriceBook }
  | { readonly kind: "invalid"; readonly problems: readonly PriceProblem[] }

type Match =
  | { readonly kind: "match"; readonly model: CatalogModel }
  | { readonly kind: "unpriced"; readonly reason: string }

type Shelf = {
  readonly byId: Map<string, CatalogModel>
  /** Longest first. */
  readonly prefixes: { readonly prefix: string; readonly model: CatalogModel }[]
  /** How asked ids matched, by id. */
  readonly remembered: Map<string, Match>
}

/** More than any installation calls of one provider; model names come from callers, so the memory needs bounds. */
const REMEMBERED_MAX = 4_096
/** Longer than any provider's id, fine-tunes included. */
const NAME_LENGTH_MAX = 256

export class PriceBook {
  readonly #shelves: Map<string, Shelf>
  /** Files that nobody has asked for yet, by provider. */
  readonly #closed: Map<string, PriceFileText>
  /** What is wrong with files that could not be opened. */
  readonly #faults = new Map<string, readonly PriceProblem[]>()

  constructor(shelves: ReadonlyMap<string, Shelf>, closed: ReadonlyMap<string, PriceFileText>) {
    this.#shelves = new Map(shelves)
    this.#closed = new Map(closed)
  }

  /** Opens the provider's file now, so that no call has to wait for it; returns what is wrong with it. */
  prepare(provider: string): readonly PriceProblem[] {
    const file = this.#closed.get(provider)
    if (file === undefined) return this.#faults.get(provider) ?? []
    this.#closed.delete(provider)
    const loaded = fillShelves([file])
    const others = [...loaded.shelves.keys()].filter((name) => name !== provider)
    const problems = [...loaded.problems, ...others.map((name) => misnamed(file, name))]
    const shelf = loaded.shelves.get(provider)
    if (shelf !== undefined && problems.length === 0) this.#shelves.set(provider, shelf)
    else this.#faults.set(provider, problems)
    return problems
  }

  /**
   * The row of a served model and tier. Exact id or alias first, then without snapshot date and region, then by the
   * longest listed prefix. '', default, auto and on_demand are the standard tier; any other tier that the book does
   * not list for the model is unpriced, since standard may be half or twice of it.
   */
  find({ provider, model, tier, atMs }: PriceQuestion): FoundPrice {
    const match = this.#match(provider, model)
    if (match.kind === "unpriced") return match
    const period = inForce(match.model, atMs)
    if (period === undefined) return tooEarly(match.model)
    const name = tierName(tier)
    const row = period.rows.get(name)
    if (row !== undefined) return { kind: "found", row }
    return { kind: "unpriced", reason: `${provider}/${match.model.id} has no price for tier ${name.slice(0, 100)}` }
  }

  /** The rows of every tier that the model could be served in: what a hold is bounded by. */
  tiers({ provider, model, atMs }: Omit<PriceQuestion, "tier">): FoundRows {
    const match = this.#match(provider, model)
    if (match.kind === "unpriced") return match
    const [first, ...rest] = inForce(match.model, atMs)?.rows.values() ?? []
    return first === undefined ? tooEarly(match.model) : { kind: "found", rows: [first, ...rest] }
  }

  /** When the prices of a model begin to hold, epoch milliseconds; none of what is not listed. */
  beginnings({ provider, model }: Pick<PriceQuestion, "provider" | "model">): readonly number[] {
    const match = this.#match(provider, model)
    if (match.kind === "unpriced") return []
    return match.model.periods.flatMap(({ fromMs }) => (fromMs === null ? [] : [fromMs]))
  }

  /** Every listed id and alias of a provider, sorted. Ids that only a prefix covers are not among them. */
  models(provider: string): readonly string[] {
    this.prepare(provider)
    return [...(this.#shelves.get(provider)?.byId.keys() ?? [])].sort()
  }

  providers(): readonly string[] {
    return [...this.#shelves.keys(), ...this.#closed.keys()].sort()
  }

  #match(provider: string, model: string): Match {
    if (model.length > NAME_LENGTH_MAX) {
      return { kind: "unpriced", reason: `a model name of ${model.length} characters is not in the price book` }
    }
    const shelf = this.#shelves.get(provider) ?? this.#opened(provider)
    if (shelf === undefined) return this.#absent(provider)
    const known = shelf.remembered.get(model)
    if (known !== undefined) return known
    const match = this.#search(provider, shelf, model)
    if (shelf.remembered.size >= REMEMBERED_MAX) {
      const oldest = shelf.remembered.keys().next()
      if (!oldest.done) shelf.remembered.delete(oldest.value)
    }
    shelf.remembered.set(model, match)
    return match
  }

  #opened(provider: string): Shelf | undefined {
    this.prepare(provider)
    return this.#shelves.get(provider)
  }

  #absent(provider: string): { readonly kind: "unpriced"; readonly reason: string } {
    const [fault] = this.#faults.get(provider) ?? []
    const reason =
      fault === undefined
        ? `provider ${provider} is not in the price book`
        : `the prices of ${provider} cannot be read: ${fault.file}:${fault.line} ${fault.path}`
    return { kind: "unpriced", reason }
  }

  #search(provider: string, shelf: Shelf, model: string): Match {
    const ids = spellings(model)
    for (const id of ids) {
      const listed = shelf.byId.get(id)
      if (listed !== undefined) return { kind: "match", model: listed }
    }
    const listed = shelf.prefixes.find(({ prefix }) => ids.some((id) => isSnapshotOf(prefix, id)))
    if (listed !== undefined) return { kind: "match", model: listed.model }
    return { kind: "unpriced", reason: `${provider}/${model} is not in the price book` }
  }
}

/** The newest period that has begun. */
function inForce(model: CatalogModel, atMs: number): CatalogPeriod | undefined {
  return model.periods.findLast((period) => period.fromMs === null || period.fromMs <= atMs)
}

function tooEarly(model: CatalogModel): { readonly kind: "unpriced"; readonly reason: string } {
  return { kind: "unpriced", reason: `${model.provider}/${model.id} has no price before its first date` }
}

/**
 * Builds the book from price files; one bad figure refuses all of it, so that the book before it can stay. Of `later`,
 * files named `<provider>.yaml`, those are opened when they are asked for whose provider is in no other file.
 */
export function loadPriceBook(files: readonly PriceFileText[], later: readonly PriceFileText[] = []): LoadedPriceBook {
  const named = new Map(later.map((file) => [file.name.replace(/\.yaml$/, ""), file]))
  const first = fillShelves(files)
  const shared = [...first.shelves.keys()].flatMap((provider) => named.get(provider) ?? [])
  const { shelves, problems } = shared.length === 0 ? first : fillShelves([...shared, ...files])
  if (problems.length > 0) return { kind: "invalid", problems }
  for (const provider of shelves.keys()) named.delete(provider)
  return { kind: "loaded", book: new PriceBook(shelves, named) }
}

function fillShelves(files: readonly PriceFileText[]) {
  const shelves = new Map<string, Shelf>()
  const problems: PriceProblem[] = []
  for (const file of files) {
    const catalog = readCatalog(file)
    if (catalog.kind === "invalid") problems.push(...catalog.problems)
    else for (const model of catalog.models) problems.push(...place(shelves, model))
  }
  for (const shelf of shelves.values()) shelf.prefixes.sort((a, b) => b.prefix.length - a.prefix.length)
  return { shelves, problems }
}

function misnamed({ name }: PriceFileText, found: string): PriceProblem {
  return { file: name, line: 1, path: "provider", found, expected: "the name of the file" }
}

/** Puts a model on its provider's shelf; an id that two models claim is a problem, since one of them would be wrong. */
function place(shelves: Map<string, Shelf>, model: CatalogModel): PriceProblem[] {
  const shelf: Shelf = shelves.get(model.provider) ?? { byId: new Map(), prefixes: [], remembered: new Map() }
  shelves.set(model.provider, shelf)
  const problems: PriceProblem[] = []
  const claim = (name: string, other: CatalogModel | undefined, path: string) => {
    if (other === undefined) return true
    const expected = `a name that ${other.id} (${other.file}:${other.line}) does not have`
    problems.push({ file: model.file, line: model.line, path: `models.${model.id}${path}`, found: name, expected })
    return false
  }
  for (const id of new Set([model.id, ...model.aliases])) {
    if (claim(id, shelf.byId.get(id), id === model.id ? "" : ".aliases")) shelf.byId.set(id, model)
  }
  for (const prefix of model.prefixes) {
    const other = shelf.prefixes.find((listed) => listed.prefix === prefix)?.model
    if (claim(prefix, other, ".prefixes")) shelf.prefixes.push({ prefix, model })
  }
  return problems
}
