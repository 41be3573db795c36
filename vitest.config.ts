import { defineConfig } from "vitest/config"

const pool = { pool: "forks", maxWorkers: 2, testTimeout: 30_000, hookTimeout: 120_000 } as const

export default defineConfig({
  test: {
    projects: [
      // The law of the house needs no services, so `npm run check` ends in seconds.
      { test: { ...pool, name: "house", include: ["test/architecture.test.ts"] } },
      {
        test: {
          ...pool,
          name: "tests",
          include: ["test/**/*.test.ts"],
          exclude: ["test/architecture.test.ts"],
          globalSetup: ["test/support/global-setup.ts"],
        },
      },
    ],
  },
})
