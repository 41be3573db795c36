/** Once for the whole run: one real Postgres server; each test file makes databases of its own on it. */
import type { TestProject } from "vitest/node"
import { startRealPostgres } from "./real-postgres.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Superuser on the run's Postgres server. */
    postgresUrl: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startRealPostgres()
  project.provide("postgresUrl", server.url)
  return () => server.stop()
}
