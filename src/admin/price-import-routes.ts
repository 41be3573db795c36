/**
 * Imports a public JSON catalog of prices, all of it or nothing. A dry run answers what would become of each entry; a
 * catalog with a figure that is none is refused with the entry at fault, and the prices stay as they are.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { readOrganization } from "../identity/organization-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Skipped } from "../pricing/catalog-entry.ts"
import { type Compared, compareCatalog } from "../pricing/compare-catalog.ts"
import { importPrices } from "../pricing/price-registry.ts"
import { readPublicCatalog } from "../pricing/public-catalog.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, missingThing } from "./answers.ts"
import { instantInput, pricedProviders, withBefore } from "./price-shape.ts"

export const PRICE_IMPORT_PATH = "/admin/v1/prices/import"
/** Public catalogs have a few megabytes. */
export const CATALOG_BYTES_MAX = 16 * 1024 * 1024

export function catalogTooLarge(): never {
  const message = `A catalog has at most ${CATALOG_BYTES_MAX} bytes.`
  throw new ApiError("request_too_large", message, { headers: [["connection", "close"]] })
}

const truth = z.enum(["true", "false"]).default("false")
const query = z.strictObject({
  dry_run: truth.openapi({ description: "Answers what would become of each entry, and sets nothing." }),
  overwrite: truth.openapi({ description: "Takes entries that differ from a price there is; else that stays." }),
  effective_from: instantInput.optional().openapi({ description: "Now unless told." }),
  organization_id: idInput.optional().openapi({ description: "Whose prices they are; absent: the installation's." }),
  source: z.string().trim().min(1).max(500).optional(),
})

const figures = z.record(z.string(), z.string())
const entryOutput = z.object({
  entry: z.string().openapi({ description: "As the catalog names it." }),
  status: z.enum(["added", "replaced", "kept", "skipped"]),
  provider: z.string().nullable(),
  model: z.string().nullable(),
  id: z.string().nullable().openapi({ description: "Of the price that was set." }),
  reason: z.string().nullable().openapi({ description: "Why it was not taken." }),
  left_out: z.array(z.string()).openapi({ description: "What the entry says beside, and that cannot be said here." }),
  before: z
    .array(z.object({ tier: z.string(), price_row: z.string(), usd_per_1m_tokens: figures, usd_per_unit: figures }))
    .openapi({ description: "The prices there are that differ, tier by tier." }),
  after: z.object({ rates: z.record(z.string(), figures), units: z.record(z.string(), z.unknown()) }).nullable(),
})
const importOutput = z
  .object({
    format: z.enum(["litellm", "models.dev"]),
    dry_run: z.boolean(),
    effective_from: z.string(),
    added: z.number(),
    replaced: z.number(),
    kept: z.number().openapi({ description: "They differ from a price there is, which stays." }),
    unchanged: z.number(),
    skipped: z.number(),
    data: z.array(entryOutput).openapi({ description: "All but what is unchanged." }),
  })
  .openapi("ImportedPrices")

export function priceImportRoutes(app: AdminApp, options: AdminOptions): void {
  const { sql, clock, directory, prices } = options
  const route = createRoute({
    method: "post",
    path: PRICE_IMPORT_PATH,
    middleware: permit("prices:write"),
    request: {
      query,
      body: {
        required: false,
        content: {
          "application/json": {
            schema: z.object({}).loose().openapi({
              description: "LiteLLM's model_prices_and_context_window.json or models.dev's api.json, as it is.",
            }),
          },
        },
      },
    },
    responses: answers(200, "What became of each entry.", importOutput),
  })
  app.openapi(route, async (context) => {
    context.get("access").onInstallation()
    const asked = context.req.valid("query")
    const { organization_id: organizationId = null } = asked
    if (organizationId !== null && (await readOrganization(sql, organizationId)) === null)
      missingThing("organization", organizationId, "organization_id")()
    // The text itself: JSON.parse would make floats of its figures.
    const catalog = readPublicCatalog(await context.req.text())
    if (catalog.kind === "invalid") throw invalidCatalog(catalog)
    const effectiveFrom = new Date(asked.effective_from ?? clock.nowMs())
    const now = prices()
    const compared = compareCatalog(now, catalog.prices, {
      organizationId: organizationId ?? "",
      atMs: effectiveFrom.getTime(),
      isOverwriting: asked.overwrite === "true",
      providers: pricedProviders(prices),
    })
    const taken = compared.filter(({ status }) => status === "added" || status === "replaced")
    const isDryRun = asked.dry_run === "true"
    const source = asked.source ?? `imported from a catalog of ${catalog.format}`
    const wanted = taken.map(({ provider, model, price, entry }) => {
      const of = { provider, model, effectiveFrom }
      return { ...of, price: withBefore(now, { ...of, organizationId }, price), source, note: `entry ${entry}` }
    })
    const isSet = !isDryRun && wanted.length > 0
    const set = isSet ? await importPrices(sql, actorOf(context), organizationId, wanted) : []
    if (isSet) await directory.changed()
    const ids = new Map(taken.map((one, index) => [one, set[index]]))
    const about = { format: catalog.format, dry_run: isDryRun, effective_from: effectiveFrom.toISOString() }
    return context.json({ ...about, ...told(compared, catalog.skipped, ids) }, 200)
  })
}

function invalidCatalog({ entry, message }: { readonly entry: string; readonly message: string }): ApiError {
  const where = entry === "" ? "" : `${entry.slice(0, 200)}: `
  return new ApiError("invalid_request", `${where}${message}. Nothing was imported.`, { param: entry || "body" })
}

type Told = Omit<z.infer<typeof importOutput>, "format" | "dry_run" | "effective_from">

function told(
  compared: readonly Compared[],
  skipped: readonly Skipped[],
  ids: ReadonlyMap<Compared, string | undefined>,
): Told {
  const counts = { added: 0, replaced: 0, kept: 0, unchanged: 0, skipped: skipped.length }
  const data: Told["data"] = []
  for (const one of compared) {
    const status = one.status === "foreign" ? "skipped" : one.status
    counts[status]++
    if (status !== "unchanged") data.push({ ...shownEntry(one), status, id: ids.get(one) ?? null })
  }
  const none = { provider: null, model: null, id: null, left_out: [], before: [], after: null }
  for (const { entry, reason } of skipped) data.push({ entry, status: "skipped", reason, ...none })
  return { ...counts, data }
}

const REASONS: Readonly<Partial<Record<Compared["status"], string>>> = {
  foreign: "nobody asks for prices of this provider here",
  kept: "it has another price, which stays; overwrite to take this one",
}

function shownEntry(one: Compared): Omit<Told["data"][number], "status" | "id"> {
  const { rates = {}, units = {} } = one.price
  return {
    entry: one.entry,
    provider: one.provider,
    model: one.model,
    reason: REASONS[one.status] ?? null,
    left_out: [...one.leftOut],
    before: one.before.map(({ tier, sheets: [base], usd_per_unit }) => ({
      ...{ tier, price_row: base?.price_row ?? "", usd_per_1m_tokens: { ...base?.usd_per_1m_tokens } },
      usd_per_unit: { ...usd_per_unit },
    })),
    after: { rates: { ...rates } as Record<string, Record<string, string>>, units: { ...units } },
  }
}
