/**
 * Extensions of holds that are under way. While the store does not answer, a call may end: an extension that was decided
 * without the store after that would be counted for a call that never ends again.
 */
import type { ReserveReply } from "./limit-store.ts"

type UnderWay = { asked: number; isOver: boolean }

export class Extensions {
  readonly #byHold = new Map<string, UnderWay>()

  /** Puts the extension to the store by `ask`; what that cannot answer is decided `here`, unless the call is over. */
  async ask(
    id: string,
    ask: (whenAway: () => ReserveReply) => Promise<ReserveReply>,
    here: (isRecovering: boolean) => ReserveReply,
  ): Promise<ReserveReply> {
    const underWay = this.#byHold.get(id) ?? { asked: 0, isOver: false }
    this.#byHold.set(id, underWay)
    underWay.asked += 1
    const decide = (isRecovering: boolean): ReserveReply => (underWay.isOver ? { kind: "done" } : here(isRecovering))
    const reply = await ask(() => decide(false))
    underWay.asked -= 1
    if (underWay.asked === 0) this.#byHold.delete(id)
    return reply.kind === "recovering" ? decide(true) : reply
  }

  /** The call is over. */
  end(id: string): void {
    if (this.#byHold.size === 0) return
    const underWay = this.#byHold.get(id)
    if (underWay !== undefined) underWay.isOver = true
  }
}
