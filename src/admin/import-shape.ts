/**
 * The rows of an import, as JSON or CSV. A CSV has a header line with the same names; lists stand in one cell separated
 * by semicolons, an empty cell is an absent member.
 */
import { z } from "@hono/zod-openapi"
import { CsvError, parse } from "csv-parse/sync"
import type { ImportedKey, ImportedUser } from "../identity/import-rows.ts"
import { ApiError } from "../platform/error-table.ts"
import { idInput, nameInput } from "./answers.ts"
import { keyChange, keyChanges } from "./key-shape.ts"
import { limitInput } from "./limit-shape.ts"

export const IMPORT_ROWS_MAX = 1_000

const externalId = z.string().min(1).max(200)

export const userRow = z
  .strictObject({
    external_id: externalId,
    name: nameInput,
    email: z.email().max(320).optional(),
    project_ids: z.array(idInput).max(100).optional(),
  })
  .openapi("ImportedUser")

export const keyRow = z
  .strictObject({
    external_id: externalId,
    name: nameInput,
    project_id: idInput.optional(),
    user_external_id: externalId.optional().openapi({ description: "The user that the key is bound to." }),
    tags: keyChange.shape.tags,
    allowed_models: keyChange.shape.allowed_models,
    expires_at: keyChange.shape.expires_at,
    limits: z.array(limitInput).max(20).optional().openapi({ description: "In JSON alone." }),
  })
  .openapi("ImportedKey")

export function importedUser(row: z.output<typeof userRow>): ImportedUser {
  return { externalId: row.external_id, name: row.name, email: row.email, projectIds: row.project_ids ?? [] }
}

/** `projectId`: where keys go that name no project. */
export function importedKey(row: z.output<typeof keyRow>): ImportedKey {
  return {
    ...keyChanges(row),
    name: row.name,
    externalId: row.external_id,
    projectId: row.project_id ?? null,
    userExternalId: row.user_external_id ?? null,
    limits: row.limits ?? [],
  }
}

const LIST_COLUMNS = new Set(["project_ids", "tags", "allowed_models"])

/** The rows of a CSV, as they would stand in JSON; refuses what is no CSV with a line and a reason. */
export function readCsv(text: string): readonly unknown[] {
  let rows: Record<string, string>[]
  try {
    rows = parse(text, { bom: true, columns: true, skip_empty_lines: true, trim: true })
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw new ApiError("invalid_request", `The body is not CSV with a header line: ${error.message}.`)
  }
  return rows.map((row) => Object.fromEntries(Object.entries(row).flatMap(cellOf)))
}

function cellOf([name, text]: [string, string]): [string, unknown][] {
  if (text === "") return []
  if (!LIST_COLUMNS.has(name)) return [[name, text]]
  const items = text.split(";").map((item) => item.trim())
  return [[name, items.filter((item) => item !== "")]]
}
