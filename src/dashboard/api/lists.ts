/** Lists that come in pages, and changes after which lists are read anew: what all resources of the admin API share. */
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { get, type Query } from "./client.ts"

export type Page<Row> = { readonly data: readonly Row[]; readonly next: string | null }
const PAGE_MAX = 1_000
/** An installation with more of a kind than this is searched by name instead; lists say that they end here. */
const ROWS_MAX = 10_000

/** Every row of a paged list. */
export async function all<Row>(path: string, query: Query, signal: AbortSignal): Promise<readonly Row[]> {
  const rows: Row[] = []
  let after: string | null = null
  do {
    const page: Page<Row> = await get<Page<Row>>(path, { ...query, limit: PAGE_MAX, after }, signal)
    rows.push(...page.data)
    after = page.next
  } while (after !== null && rows.length < ROWS_MAX)
  return rows
}

/**
 * A change, after which the lists named are read anew. It has succeeded before they are: whoever waits for it hears of it
 * at once, and while what it was about still stands on the page.
 */
export function useChange<Input, Answer>(act: (input: Input) => Promise<Answer>, ...lists: readonly string[]) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: act,
    onSuccess: () => {
      for (const name of lists) void client.invalidateQueries({ queryKey: [name] })
    },
  })
}
