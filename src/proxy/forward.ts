/** Forwards an admitted call to its provider and resolves when the answer is over, however it ended. Never throws. */
import { upstreamHeaders } from "../providers/upstream-headers.ts"
import type { Admitted, Answer, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { ownHeaders } from "./own-headers.ts"
import { Relay } from "./relay.ts"

export function forward(plane: DataPlane, call: Call, admitted: Admitted): Promise<Answer> {
  const { facts, route, body } = admitted
  const { provider } = route
  const injectsUsage = facts.isStream && !facts.asksUsage && provider.takesUsageOption
  return new Promise((onEnd) => {
    const relay = new Relay({
      response: call.response,
      dialect: call.endpoint.dialect,
      ownHeaders: ownHeaders(call, admitted),
      hidesUsage: injectsUsage,
      providerName: provider.name,
      drainMs: provider.timeouts.drainMs,
      drains: plane.drains,
      onEnd,
    })
    const upstream = plane.upstreams.pool(provider.chat.origin).dispatch(
      {
        path: provider.chat.path,
        method: "POST",
        headers: upstreamHeaders(call.request.rawHeaders, provider),
        body: call.endpoint.dialect.rewriteRequest(body, facts, { model: route.model, injectsUsage }),
        connectMs: provider.timeouts.connectMs,
        headMs: provider.timeouts.firstByteMs,
        idleMs: provider.timeouts.idleMs,
      },
      relay,
    )
    relay.follow(upstream)
  })
}
