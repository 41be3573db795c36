/** What the caller reads whose call a limit does not take, since nobody can tell beforehand what it uses at most. */
import { limitTitle } from "../admission/refusal-text.ts"
import type { Limit } from "../identity/limit.ts"
import { ApiError } from "../platform/error-table.ts"
import type { UnboundedReason } from "../providers/request-bound.ts"
import type { Refused } from "./call.ts"

/** Why, and what the caller can do about it. */
const TEXTS: Readonly<Record<UnboundedReason, readonly [why: string, step: string]>> = {
  server_context: [
    "it goes on from what the provider keeps (a previous response, a conversation, a stored prompt, a container)",
    "Send the whole input in the request",
  ],
  cached_context: ["it goes on from content that the provider has cached", "Send the content in the request"],
  file_content: ["it refers to a file that the provider has", "Send the file's text in the request"],
  remote_content: ["it refers to something at another address", "Send the content itself in the request"],
  image: [
    "it has pictures, and how many tokens those are at most is not known of this model",
    "Leave the pictures out",
  ],
  audio: ["it has sound or video, whose length its bytes do not tell", "Send a transcript in its place"],
  document: ["it has a document whose pages and text its bytes do not tell", "Send the document's text in its place"],
  server_tool: [
    "it lets the provider run tools or steps of its own, and what those bring in is input too",
    "Leave those tools out, or name another model",
  ],
  predicted_output: ["what is predicted of an answer is billed beside the answer", "Leave the prediction out"],
  generated_media: ["it makes pictures or sound whose tokens no parameter bounds", "Ask for text"],
  hidden_output: ["this model's reasoning does not count under the most output", "Name another model"],
  open_output: ["this endpoint takes no bound of the output", "Use an endpoint that takes one"],
  later_usage: [
    "its usage comes only after its answer, when what is held has been given back",
    "Make the call in the foreground, one by one",
  ],
  routed_model: ["the model, and with it the price, is chosen only when the call has arrived", "Name one model"],
  unknown_content: ["it has content of a kind that is not known here", "Send text"],
  unknown_member: ["it has members that are not known here", "Leave out what the API's reference does not list"],
  unmetered: ["nobody here can tell what this endpoint costs", "Use an endpoint that is metered"],
}

/** `limit` is the strictest of those that apply. */
export function notBounded(reason: UnboundedReason, limit: Limit): Refused {
  const [why, step] = TEXTS[reason]
  const message =
    `The ${limitTitle(limit)} takes only calls of which it is known beforehand what they use at most, and of this call it ` +
    `is not (${reason}): ${why}. ${step}, or ask your Tallygate administrator to set the limit's \`unbounded\` to \`clamp\` ` +
    "or `overshoot`. Nothing was forwarded or charged."
  return { kind: "refused", error: new ApiError("call_not_bounded", message), reason: "not bounded" }
}
