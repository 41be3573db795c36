/**
 * For orchestrators and Prometheus: alive, ready, metrics. With several workers `/healthz` and `/readyz` speak for the
 * one that happens to answer, `/metrics` for all of them.
 */
import type { MiddlewareHandler } from "hono"
import { Registry } from "prom-client"
import type { AdminApp, AdminEnv, AdminOptions } from "./admin-app.ts"
import { servesOf } from "./serves.ts"

export type Readiness = {
  readonly isReady: boolean
  /** Each part's state in a word; a store that is away is told here even where calls go on. */
  readonly parts: Readonly<Record<string, string>>
}

export function operationRoutes(
  app: AdminApp,
  options: AdminOptions,
  requirePrincipal: MiddlewareHandler<AdminEnv>,
): void {
  app.get("/healthz", (context) => context.json({ status: "alive", version: options.version }))
  app.get("/readyz", (context) => {
    const { isReady, parts } = options.readiness()
    return context.json({ status: isReady ? "ready" : "not ready", ...parts }, isReady ? 200 : 503)
  })
  app.use("/metrics", (context, next) =>
    servesOf(context).metrics === "open" ? next() : requirePrincipal(context, next),
  )
  app.get("/metrics", async (context) => {
    return context.body(await options.metricsPage(), 200, { "content-type": Registry.PROMETHEUS_CONTENT_TYPE })
  })
}
