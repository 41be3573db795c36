/** Key holders' own usage: that of the user behind the key or session, or of the key alone where it is bound to none. */

import { userOf } from "../identity/own-key.ts"
import type { Scope } from "../reporting/scope.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { holderOf } from "./own-key-routes.ts"
import { ownKeyView } from "./own-key-view.ts"
import { usageRoutes } from "./usage-routes.ts"

export function ownUsageRoutes(app: AdminApp, options: AdminOptions): void {
  ownKeyView(app, options)
  usageRoutes(app, options, {
    base: "/v1/usage",
    security: [{ virtualKey: [] }],
    middleware: [],
    scopeOf: async (context): Promise<Scope> => {
      const { holder } = await holderOf(options, context)
      const userId = userOf(holder)
      const none = { kind: "within", organizationIds: [], projectIds: [] } as const
      if (userId !== null) return { ...none, userIds: [userId] }
      return { ...none, keyIds: holder.kind === "key" ? [holder.key.id] : [] }
    },
  })
}
