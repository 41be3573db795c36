/**
 * What `npm run test:browser` runs beside `npm test`: every page in both themes and four widths, and, as a project of its
 * own, the pictures of the documentation (`npm run screenshots`).
 */
import { defineConfig } from "vitest/config"

const ROOT = new URL("../..", import.meta.url).pathname
const base = { pool: "forks", maxWorkers: 1, testTimeout: 120_000, hookTimeout: 180_000 } as const
const globalSetup = ["test/support/global-setup.ts"]

export default defineConfig({
  root: ROOT,
  test: {
    projects: [
      { root: ROOT, test: { ...base, name: "browser", include: ["test/browser/*.matrix.ts"], globalSetup } },
      { root: ROOT, test: { ...base, name: "screenshots", include: ["test/browser/*.pictures.ts"], globalSetup } },
    ],
  },
})
