/**
 * Once for the whole run: one real Postgres server; each test file makes databases of its own on it. The other programs
 * that tests start are brought.
 */
import type { TestProject } from "vitest/node"
import { findNginxBinary } from "./nginx-binary.ts"
import { findPrometheusBinaries } from "./prometheus-binaries.ts"
import { findPythonBinary } from "./python-binary.ts"
import { startRealPostgres } from "./real-postgres.ts"
import { findRedisBinary } from "./redis-binaries.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Superuser on the run's Postgres server. */
    postgresUrl: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Before test files start servers of their own, two at once: apt-get lets only one in.
  findRedisBinary()
  findPrometheusBinaries()
  findNginxBinary()
  findPythonBinary()
  const server = await startRealPostgres()
  project.provide("postgresUrl", server.url)
  return () => server.stop()
}
