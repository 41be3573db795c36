/** How an answer is read: as its endpoint says, or for the usage that a provider reports only now. */
import type { Dialect } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"

export function answerDialect({ endpoint }: Call, { object }: Pick<Admitted, "object">): Dialect {
  const later = endpoint.object?.laterUsage ?? null
  // Usage is looked for only where some is awaited: reading every file that is downloaded would be for nothing.
  return later !== null && object !== null && object.booking !== null ? later : endpoint.dialect
}
