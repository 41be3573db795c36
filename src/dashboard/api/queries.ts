/** The cache of answers: what is asked again, when, and what happens as a session ends. */
import { QueryCache, QueryClient } from "@tanstack/react-query"
import { ApiFailure } from "./client.ts"
import { sessionQuery } from "./session.ts"

/** A failure that another try may mend: no answer, or a server that says it is at fault. */
function isPassing(error: unknown): boolean {
  return error instanceof ApiFailure && (error.status === 0 || error.status >= 500)
}

export function openQueries(): QueryClient {
  const client = new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        // A session that ended: the frame gives way to the log-in, which leads back to this page.
        if (error instanceof ApiFailure && error.status === 401) client.setQueryData(sessionQuery.queryKey, null)
      },
    }),
    defaultOptions: {
      queries: {
        retry: (failures, error) => failures < 2 && isPassing(error),
        refetchOnWindowFocus: false,
        staleTime: 15_000,
      },
    },
  })
  return client
}
