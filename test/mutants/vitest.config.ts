/** The quick suites of admission alone, for a copy of the project in which one thing is wrong: they end at the first failure. */
import path from "node:path"
import { defineConfig } from "vitest/config"

export default defineConfig({
  root: path.join(import.meta.dirname, "../.."),
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    bail: 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
