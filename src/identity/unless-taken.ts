/** Turns the violation of a unique index, as where a name is taken, into an answer. */
import { sqlState } from "../platform/postgres.ts"

const UNIQUE_VIOLATION = "23505"

export async function unlessTaken<Done>(act: () => Promise<Done>): Promise<Done | { readonly kind: "taken" }> {
  try {
    return await act()
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) return { kind: "taken" }
    throw error
  }
}
