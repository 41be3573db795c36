/** A receiver of webhooks on loopback that answers as a test wants it to, and keeps what came. */
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export type ReceivedHook = { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }

export type WebhookReceiver = {
  readonly url: string
  readonly received: ReceivedHook[]
  /** How the next requests are answered; 204 by default. */
  answer: (response: ServerResponse, hook: ReceivedHook) => void
  close(): Promise<void>
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const server = createServer(async (request, response) => {
    let body = ""
    for await (const chunk of request.setEncoding("utf8")) body += chunk
    const hook = { path: request.url ?? "", headers: request.headers, body }
    receiver.received.push(hook)
    receiver.answer(response, hook)
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  const receiver: WebhookReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: [],
    answer: (response) => response.writeHead(204).end(),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return receiver
}
