/**
 * How Vite builds the dashboard. Nothing is inlined and no file is fetched from elsewhere, so that the page lives under
 * `default-src 'self'`; React and the data layer are a chunk of their own, since they change less often than pages.
 */
import tailwindcss from "@tailwindcss/vite"
import react from "@vitejs/plugin-react"
import type { InlineConfig } from "vite"

export function viteOptions(outDir: string): InlineConfig {
  return {
    configFile: false,
    root: import.meta.dirname,
    base: "/dashboard/",
    logLevel: "warn",
    plugins: [react(), tailwindcss()],
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      // What the first page loads is held to a bound of its own by a test.
      chunkSizeWarningLimit: 1_000,
    },
  }
}
