/** `tallygate prices list --live`: the prices that were set by API at a running Tallygate, and whose they are. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { matchesGlob } from "../platform/glob.ts"
import { AdminClient } from "./admin-client.ts"
import { CommandError, type CommandOutput, toJson, WrongUsage } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const price = z.looseObject({
  id: z.string(),
  organization_id: z.string().nullable(),
  provider: z.string(),
  model: z.string(),
  rates: z.record(z.string(), z.record(z.string(), z.string())),
  units: z.record(z.string(), z.unknown()),
  fees: z.record(z.string(), z.string()),
  regions: z.record(z.string(), z.string()),
  effective_from: z.string(),
  ended_at: z.string().nullable(),
})
type SetPrice = z.output<typeof price>

export type ListOptions = {
  readonly provider?: string | undefined
  readonly model?: string | undefined
  readonly at?: string | undefined
  readonly organization?: string | undefined
}

/** Prints those that have not ended. @throws CommandError where there are none, or nobody answers */
export async function listSet(
  env: Environment,
  { provider, model = "*", at, organization }: ListOptions,
  isJson: boolean,
  out: CommandOutput,
): Promise<number> {
  if (at !== undefined) throw new WrongUsage("--at is for price files; with --live each price stands with its dates")
  const query = { provider, organization_id: organization }
  const all = await new AdminClient(env).askAll(price, "/admin/v1/prices", query)
  const prices = all.filter((one) => matchesGlob(model, one.model))
  if (prices.length === 0) throw new CommandError("no such price is set there; those of the price files hold.")
  out.stdout.write(isJson ? toJson({ prices }) : `${alignColumns(prices.flatMap(toCells)).join("\n")}\n`)
  return 0
}

function toCells(one: SetPrice): string[][] {
  const { rates, units, fees, regions } = one
  const extras = [
    ...Object.entries(units).map(
      ([name, figure]) => `unit:${name} ${typeof figure === "string" ? figure : toLine(figure)}`,
    ),
    ...Object.entries(fees).map(([name, usd]) => `fee:${name} ${usd}`),
    ...Object.entries(regions).map(([region, multiplier]) => `region:${region} ×${multiplier}`),
  ]
  const tiers = Object.entries(rates).map(([tier, own]) => {
    return [tier, Object.entries(own).map(([name, usd]) => `${name} ${usd}`)] as const
  })
  const rows = tiers.length === 0 ? [["standard", [] as string[]] as const] : tiers
  return rows.map(([tier, own], index) => [
    one.id,
    one.organization_id ?? "installation",
    `${one.provider}/${one.model}`,
    `from ${one.effective_from}${one.ended_at === null ? "" : ` until ${one.ended_at}`}`,
    tier,
    [...own, ...(index === 0 ? extras : [])].join("  "),
  ])
}

function toLine(figure: unknown): string {
  return JSON.stringify(figure).replaceAll('"', "")
}
