/** The one line the embedded Postgres's process says to the one that started it. */
import { z } from "zod"

/** Why an embedded Postgres did not start: `locked` names the process that has the directory. */
const REASONS = ["locked", "unwritable", "corrupted", "version", "unknown"] as const

export const startReport = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready"), url: z.string() }),
  z.object({ kind: z.literal("failed"), reason: z.enum(REASONS), message: z.string(), pid: z.number().optional() }),
])
export type StartReport = z.infer<typeof startReport>
export type StartFailure = Extract<StartReport, { kind: "failed" }>["reason"]
