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
  let ending: Ending
  try {
    ending = await pass(plane, call)
  } catch (fault) {
    ending = faulted(plane, call, fault)
  }
  await finish(plane, call, ending)
}

/** What is there at once is not awaited: each await is a turn of the queue, and a call takes this way as a whole. */
async function pass(plane: DataPlane, call: Call): Promise<Ending> {
  const identifying = identify(plane, call)
  const identified = identifying instanceof Promise ? await identifying : identifying
  if (identified.kind !== "caller") return identified

  const entered = enter(plane, call, identified.key)
  if (entered !== null) return entered

  const asked = await readRequest(plane, call)
  if (asked.kind !== "asked") return asked

  const attributing = attributeUser(plane, call, identified.key)
  const attributed = attributing instanceof Promise ? await attributing : attributing
  if (attributed.kind !== "caller") return attributed
  const { key } = attributed

  const routing = chooseRoute(plane, call, key, asked)
  const routed = routing instanceof Promise ? await routing : routing
  if (routed.kind !== "routed") return routed

  const capped = capCall(plane, call, key, asked, routed.route)
  if (capped.kind !== "capped") return capped

  const admitted = await admitCall(plane, call, key, asked, { ...routed, outputTokensMax: capped.outputTokensMax })
  if (admitted.kind !== "admitted") return admitted

  return { kind: "answered", answer: await forward(plane, call, admitted.admitted) }
}
