/**
 * The way of a call through Tallygate, step by step. There is one way out, and it settles: whatever happens on the
 * way, `finish` takes the hold off, writes the record and counts the call, so that no step has to remember to.
 */
import { admitCall } from "./admit-call.ts"
import type { Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { finish } from "./finish.ts"
import { forward } from "./forward.ts"
import { identify } from "./identify.ts"
import { readRequest } from "./read-request.ts"
import { faulted } from "./refuse.ts"
import { chooseRoute } from "./route-model.ts"

export async function handle(plane: DataPlane, call: Call): Promise<void> {
  const ending = await pass(plane, call).catch((fault: unknown) => faulted(plane, call, fault))
  await finish(plane, call, ending)
}

async function pass(plane: DataPlane, call: Call): Promise<Ending> {
  const identified = await identify(plane, call)
  if (identified.kind !== "caller") return identified

  const asked = await readRequest(plane, call)
  if (asked.kind !== "asked") return asked

  const routed = chooseRoute(plane, identified.key, asked.facts.model)
  if (routed.kind !== "routed") return routed

  const admitted = await admitCall(plane, call, identified.key, asked, routed.route)
  if (admitted.kind !== "admitted") return admitted

  return { kind: "answered", answer: await forward(plane, call, admitted.admitted) }
}
