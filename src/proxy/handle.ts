/**
 * The way of a call through Tallygate, step by step. There is one way out, and it settles: whatever happens on the
 * way, `finish` takes the hold off, writes the record and counts the call, so that no step has to remember to.
 */
import { admitCall } from "./admit-call.ts"
import { attributeUser } from "./attribute-user.ts"
import type { Call, Ending } from "./call.ts"
import { capCall } from "./cap-call.ts"
import type { DataPlane } from "./data-plane.ts"
import { enter } from "./enter.ts"
import { finish } from "./finish.ts"
import { forward } from "./forward.ts"
import { identify } from "./identify.ts"
import { readRequest } from "./read-request.ts"
import { faulted } from "./refuse.ts"
import { chooseRoute } from "./route.ts"

export async function handle(plane: DataPlane, call: Call): Promise<void> {
  const ending = await pass(plane, call).catch((fault: unknown) => faulted(plane, call, fault))
  await finish(plane, call, ending)
}

async function pass(plane: DataPlane, call: Call): Promise<Ending> {
  const identified = await identify(plane, call)
  if (identified.kind !== "caller") return identified

  const entered = enter(plane, call, identified.key)
  if (entered !== null) return entered

  const asked = await readRequest(plane, call)
  if (asked.kind !== "asked") return asked

  const attributed = await attributeUser(plane, call, identified.key)
  if (attributed.kind !== "caller") return attributed
  const { key } = attributed

  const routed = await chooseRoute(plane, call, key, asked)
  if (routed.kind !== "routed") return routed

  const capped = capCall(plane, call, key, asked, routed.route)
  if (capped.kind !== "capped") return capped

  const admitted = await admitCall(plane, call, key, asked, { ...routed, outputTokensMax: capped.outputTokensMax })
  if (admitted.kind !== "admitted") return admitted

  return { kind: "answered", answer: await forward(plane, call, admitted.admitted) }
}
