/** Messages of the outbox, by what they are. */
import type { AlertMessage } from "../../src/alerts/alert-message.ts"
import type { Message } from "../../src/alerts/deliveries.ts"

/** The alert's message. @throws Error where it is a digest */
export function alertOf(message: Message | undefined): AlertMessage {
  if (message === undefined || message.kind === "digest") throw new Error("not the message of an alert")
  return message
}
