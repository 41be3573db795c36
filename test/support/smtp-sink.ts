/** A mail server on loopback that takes mail of one user, keeps it, and refuses `refused@…`. */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { SMTPServer } from "smtp-server"

export type SinkMail = { readonly recipients: readonly string[]; readonly raw: string }
export type SmtpSink = { readonly port: number; readonly received: SinkMail[]; close(): Promise<void> }

export async function startSmtpSink(account: { user: string; password: string }): Promise<SmtpSink> {
  const received: SinkMail[] = []
  const server = new SMTPServer({
    // Its certificate is nobody's, and a client that is offered TLS insists on a good one.
    disabledCommands: ["STARTTLS"],
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _session, done) => {
      const isKnown = username === account.user && password === account.password
      done(isKnown ? null : new Error("Invalid username or password"), { user: username })
    },
    onRcptTo: ({ address }, _session, done) => {
      if (!address.startsWith("refused@")) return done()
      return done(Object.assign(new Error(`no ${address} here`), { responseCode: 550 }))
    },
    onData: (stream, session, done) => {
      const chunks: Buffer[] = []
      stream.on("data", (chunk: Buffer) => chunks.push(chunk))
      stream.on("end", () => {
        const recipients = session.envelope.rcptTo.map(({ address }) => address)
        received.push({ recipients, raw: Buffer.concat(chunks).toString() })
        done()
      })
    },
  })
  const listening = server.listen(0, "127.0.0.1")
  await once(listening, "listening")
  return {
    port: (listening.address() as AddressInfo).port,
    received,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
