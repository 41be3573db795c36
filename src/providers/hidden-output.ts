/**
 * Which models may write output that nobody sees. By name, since no request or answer says it in time: OpenAI's
 * reasoning models, Gemini from 2.5 on and Grok from 4 on think unseen; Anthropic's models do where the request turns
 * thinking on, since what is shown of it is a summary. (OpenAI guide to reasoning models; Gemini guide to thinking;
 * xAI guide to reasoning; Anthropic guide to extended thinking.)
 *
 * Such output cannot be counted as it flows, so a call to such a model holds all of its output beforehand. Where the
 * provider does not, or not surely, count it under the bound of the output, nobody can tell the most of a call at all.
 */
const BEYOND_BOUND = /(?:^|\/)grok-(?:3-mini|4|code)|deepseek-(?:r1|reasoner)/
const WITHIN_BOUND =
  /(?:^|\/)(?:o\d|gpt-5|codex|computer-use|gemini-(?:2\.5|[3-9]|flash-latest|pro-latest)|sonar-(?:reasoning|deep))/
const THINKING_MEMBER = Buffer.from('"thinking"')

/** Whether the model may write more than its output is bounded to. */
export function hidesBeyondBound(model: string): boolean {
  return BEYOND_BOUND.test(model)
}

export function mayHideOutput(model: string, body: Buffer): boolean {
  return BEYOND_BOUND.test(model) || WITHIN_BOUND.test(model) || body.includes(THINKING_MEMBER)
}
