/**
 * Ends a stream before its provider does, in the stream's own dialect, so that an SDK puts the same kind of message
 * together as from one that ran into its token limit. One file per dialect; each sees all events before it is asked.
 */

/** Why a stream is ended, for programs: it stands in the last event beside the dialect's own members. */
export type StreamCut = {
  readonly cut_by: "budget"
  readonly limit_id: string
  /** For people: which limit has no room, and what to do. */
  readonly message: string
}

/** How much the stream has used so far, as far as anybody knows; an answer's usage object has to say something. */
export type UsageSoFar = { readonly inputTokens: number; readonly outputTokens: number }

export type StreamEnd = {
  /** Takes in the data of one event, in order. Never throws. */
  see(data: string): void
  /** The events that end the stream, as bytes on the wire have them. */
  end(cut: StreamCut, usage: UsageSoFar): string
}

/** An event with only data. */
export function dataEvent(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`
}

/** An event with a name, which stands in its `type` too. */
export function namedEvent(value: Readonly<Record<string, unknown>> & { readonly type: string }): string {
  return `event: ${value.type}\n${dataEvent(value)}`
}
