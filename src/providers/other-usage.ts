/** Adds up what other models used on the way of one answer, or of all answers of a batch. */
import { addedUsage } from "../metering/usage.ts"
import type { OtherUsage } from "./dialect.ts"

/** Adds it to what its model has used already. */
export function addOther(byModel: Map<string, OtherUsage>, other: OtherUsage): void {
  const before = byModel.get(other.model)
  byModel.set(other.model, before === undefined ? other : { ...other, usage: addedUsage(before.usage, other.usage) })
}

/** Both lists as one, with each model once. */
export function mergedOthers(one: readonly OtherUsage[], two: readonly OtherUsage[]): readonly OtherUsage[] {
  if (one.length === 0 || two.length === 0) return one.length === 0 ? two : one
  const byModel = new Map<string, OtherUsage>()
  for (const other of [...one, ...two]) addOther(byModel, other)
  return [...byModel.values()]
}
