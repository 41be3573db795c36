/**
 * Whether a model may write output that its stream does not show. Such output cannot be counted as it flows, so a call
 * to such a model holds all of its output beforehand. By name, since no request or answer says it in time: OpenAI's
 * reasoning models and Gemini from 2.5 on think unseen; Anthropic's models do where the request turns thinking on, since
 * what is shown of it is a summary. (OpenAI guide to reasoning models; Gemini guide to thinking; Anthropic guide to
 * extended thinking.)
 */
const ALWAYS =
  /(?:^|\/)(?:o\d|gpt-5|codex|computer-use|gemini-(?:2\.5|[3-9]|flash-latest|pro-latest)|sonar-(?:reasoning|deep))/
const THINKING_MEMBER = Buffer.from('"thinking"')

export function mayHideOutput(model: string, body: Buffer): boolean {
  return ALWAYS.test(model) || body.includes(THINKING_MEMBER)
}
