/** Pieces as SQL: which rows of `usage_day` or of the rollup they mean, under the alias `t`. */
import type { Piece } from "./pieces.ts"
import type { SqlText } from "./sql-text.ts"

export type PieceRows = { readonly from: string; readonly conditions: readonly string[] }

/** The column that holds a row's first moment. */
export const TIME_OF = { usage_day: "starts_at", usage_rollups: "bucket" } as const

/** Rows of one piece, named so that the planner knows how many there will be. */
export function spelledPiece(text: SqlText, piece: Piece): PieceRows {
  const time = TIME_OF[piece.table]
  return {
    from: `${piece.table} t`,
    conditions: [
      `t.organization_id = ANY (${text.texts(piece.organizationIds)})`,
      ...(piece.table === "usage_day" ? [`t.time_zone = ${text.text(piece.timeZone)}`] : []),
      `t.${time} >= ${text.instant(piece.fromMs)}`,
      `t.${time} < ${text.instant(piece.toMs)}`,
    ],
  }
}

/** Rows of many pieces: each is looked up by the primary key. OFFSET keeps the planner from reading the whole table. */
export function listedPieces(text: SqlText, table: Piece["table"], pieces: readonly Piece[]): PieceRows {
  const flat = pieces.flatMap((piece) => piece.organizationIds.map((id) => ({ id, ...piece })))
  const ids = text.texts(flat.map(({ id }) => id))
  const zones = text.texts(flat.map((piece) => (piece.table === "usage_day" ? piece.timeZone : "")))
  const froms = text.instants(flat.map(({ fromMs }) => fromMs))
  const tos = text.instants(flat.map(({ toMs }) => toMs))
  const inZone = table === "usage_day" ? "AND x.time_zone = p.time_zone " : ""
  const time = TIME_OF[table]
  const from = `unnest(${ids}, ${zones}, ${froms}, ${tos}) AS p (organization_id, time_zone, from_at, to_at)
    CROSS JOIN LATERAL (
      SELECT * FROM ${table} x
      WHERE x.organization_id = p.organization_id ${inZone}AND x.${time} >= p.from_at AND x.${time} < p.to_at OFFSET 0) t`
  return { from, conditions: [] }
}
