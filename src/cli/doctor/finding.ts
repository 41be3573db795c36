/** What the doctor found of one thing it looked at: well, doubtful or wrong, and in the last two cases what mends it. */

export type Finding = {
  /** What was looked at: `database`, `clock`, `provider openai`. */
  readonly check: string
  /** `skipped`: could not or need not be looked at, as the text says. */
  readonly state: "ok" | "warning" | "problem" | "skipped"
  readonly text: string
  /** What to do; null where nothing is to be done. */
  readonly fix: string | null
}

/** What looks are made with. */
export type Means = {
  /** This machine's clock. */
  readonly nowMs: () => number
  /** How long a store may take to answer. */
  readonly answerMsMax: number
}

export function ok(check: string, text: string): Finding {
  return { check, state: "ok", text, fix: null }
}

export function skipped(check: string, text: string): Finding {
  return { check, state: "skipped", text, fix: null }
}

export function warning(check: string, text: string, fix: string): Finding {
  return { check, state: "warning", text, fix }
}

export function problem(check: string, text: string, fix: string): Finding {
  return { check, state: "problem", text, fix }
}

/** Whole seconds, and on which side: `7 s ahead of`. */
export function skewText(skewMs: number): string {
  return `${Math.round(Math.abs(skewMs) / 1_000)} s ${skewMs > 0 ? "ahead of" : "behind"}`
}
