/**
 * Where the sums of a range are read: whole days out of `usage_day`, as far as they are folded, clean and within one bucket
 * of the question; all the rest out of the 15-minute rollup. Folds are compared by their moments, so a question in any zone
 * is exact, and is quick where its days or months are those of the organization or of UTC.
 */
import type { Transaction } from "../platform/postgres.ts"
import { SqlText } from "./sql-text.ts"

type Tile = { readonly fromMs: number; readonly toMs: number } & (
  | { readonly table: "usage_day"; readonly timeZone: string }
  | { readonly table: "usage_rollups" }
)

/** A stretch of time of some organizations, from one of the two tables. */
export type Piece = Tile & { readonly organizationIds: readonly string[] }

/** Days folded in one zone, without a gap. */
export type Island = {
  readonly organizationId: string
  readonly timeZone: string
  readonly fromMs: number
  readonly toMs: number
}

/** Shorter than any day: below it no fold can lie within a bucket. */
const FOLD_MS_MIN = 20 * 3_600_000

/** `boundaries` are the buckets' first moments and the last one's end, rising. */
export async function piecesOf(
  transaction: Transaction,
  organizationIds: readonly string[],
  boundaries: readonly number[],
): Promise<Piece[]> {
  const fromMs = boundaries[0]
  const toMs = boundaries.at(-1)
  if (fromMs === undefined || toMs === undefined || organizationIds.length === 0) return []
  const isFoldable = boundaries.some((ms, index) => (boundaries[index + 1] ?? ms) - ms >= FOLD_MS_MIN)
  const islands = isFoldable ? await foldedIslands(transaction, organizationIds, boundaries) : []
  return pieces(organizationIds, islands, fromMs, toMs)
}

/**
 * Tiles the range of each organization with its islands of one zone and what lies between them; organizations alike share
 * pieces.
 */
export function pieces(
  organizationIds: readonly string[],
  islands: readonly Island[],
  fromMs: number,
  toMs: number,
): Piece[] {
  const alike = new Map<string, { organizationIds: string[]; tiles: Tile[] }>()
  for (const id of organizationIds) {
    const own = ofOneZone(islands.filter(({ organizationId }) => organizationId === id))
    const name = own.map((island) => `${island.timeZone} ${island.fromMs}-${island.toMs}`).join()
    const group = alike.get(name)
    if (group === undefined) alike.set(name, { organizationIds: [id], tiles: tiles(own, fromMs, toMs) })
    else group.organizationIds.push(id)
  }
  return [...alike.values()].flatMap((group) =>
    group.tiles.map((tile) => ({ ...tile, organizationIds: group.organizationIds })),
  )
}

/** Those of the zone whose islands hold the most time: days of different zones overlap, and none must be read twice. */
function ofOneZone(islands: readonly Island[]): readonly Island[] {
  const byZone = Map.groupBy(islands, ({ timeZone }) => timeZone)
  const held = (own: readonly Island[]) => own.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0)
  return [...byZone.values()].reduce((most, own) => (held(own) > held(most) ? own : most), [])
}

function tiles(islands: readonly Island[], fromMs: number, toMs: number): Tile[] {
  const found: Tile[] = []
  let atMs = fromMs
  for (const island of islands) {
    if (island.fromMs > atMs) found.push({ table: "usage_rollups", fromMs: atMs, toMs: island.fromMs })
    found.push({ table: "usage_day", timeZone: island.timeZone, fromMs: island.fromMs, toMs: island.toMs })
    atMs = island.toMs
  }
  if (atMs < toMs) found.push({ table: "usage_rollups", fromMs: atMs, toMs })
  return found
}

async function foldedIslands(
  transaction: Transaction,
  organizationIds: readonly string[],
  boundaries: readonly number[],
): Promise<Island[]> {
  const text = new SqlText()
  const ids = text.texts(organizationIds)
  const bounds = text.instants(boundaries)
  const from = text.instant(boundaries[0] ?? 0)
  const to = text.instant(boundaries.at(-1) ?? 0)
  const rows = await text.run<{ organizationId: string; timeZone: string; from: Date; to: Date }>(
    transaction,
    `WITH usable AS (
       SELECT f.organization_id, f.time_zone, f.starts_at, f.ends_at
       FROM usage_day_fold f
       WHERE f.organization_id = ANY (${ids}) AND f.starts_at >= ${from} AND f.ends_at <= ${to} AND NOT f.is_stale
         AND width_bucket(f.starts_at, ${bounds}) = width_bucket(f.ends_at - interval '1 second', ${bounds})
         AND NOT EXISTS (
           SELECT 1 FROM usage_day_dirty d
           WHERE d.organization_id = f.organization_id AND d.bucket >= f.starts_at AND d.bucket < f.ends_at)
     ), linked AS (
       SELECT *, lag(ends_at) OVER days IS DISTINCT FROM starts_at AS is_first
       FROM usable WINDOW days AS (PARTITION BY organization_id, time_zone ORDER BY starts_at)
     ), numbered AS (
       SELECT *, count(*) FILTER (WHERE is_first) OVER days AS island
       FROM linked WINDOW days AS (PARTITION BY organization_id, time_zone ORDER BY starts_at)
     )
     SELECT organization_id AS "organizationId", time_zone AS "timeZone", min(starts_at) AS "from", max(ends_at) AS "to"
     FROM numbered GROUP BY organization_id, time_zone, island ORDER BY organization_id, time_zone, island`,
  )
  return rows.map(({ from: start, to: end, ...of }) => ({ ...of, fromMs: start.getTime(), toMs: end.getTime() }))
}
