/**
 * The log-in: e-mail and password, or a key. What is typed is handed over once and forgotten here. A refusal never says
 * which part was wrong; where the server waits, it says for how long.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { ApiFailure } from "../api/client.ts"
import { type Credential, logIn, methodsQuery, sessionQuery } from "../api/session.ts"
import { Button } from "../ui/button.tsx"
import { Segments, TextField } from "../ui/field.tsx"
import { Logo } from "../ui/icons.tsx"

const WAYS = { password: "E-mail", admin_key: "Admin key", key: "Virtual key" } as const
type Way = keyof typeof WAYS

export function SignIn() {
  const [way, setWay] = useState<Way>("admin_key")
  const client = useQueryClient()
  const { data: methods } = useQuery(methodsQuery)
  const login = useMutation({
    mutationFn: logIn,
    onSuccess: (session) => client.setQueryData(sessionQuery.queryKey, session),
  })
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    login.mutate(credentialIn(way, new FormData(event.currentTarget)))
  }
  return (
    <main className="mx-auto flex min-h-dvh max-w-[400px] flex-col justify-center px-4 py-10">
      <div className="mb-6 flex items-center gap-2.5 text-[15px] font-[650]">
        <Logo /> Tallygate
      </div>
      <div className="rounded-card border border-line bg-surface p-5">
        <h1 className="text-head font-[650]">Log in</h1>
        <div className="mt-4">
          <Segments label="Log in with" value={way} options={WAYS} onChoose={setWay} />
        </div>
        <form key={way} onSubmit={submit} className="mt-4 flex flex-col gap-4">
          {way === "password" ? <PasswordFields /> : <KeyField way={way} />}
          {login.error !== null && <LoginError error={login.error} />}
          <Button type="submit" look="primary" disabled={login.isPending}>
            {login.isPending ? "Logging in …" : "Log in"}
          </Button>
        </form>
        {methods?.oidc != null && (
          <p className="mt-4 border-t border-line pt-4">
            <a href={methods.oidc.url} className="link">
              Log in with {methods.oidc.name}
            </a>
          </p>
        )}
      </div>
      <p className="mt-4 text-meta text-ink3">
        The first start of Tallygate prints an admin key. A key typed here is exchanged for a session and is not kept in
        the browser.
      </p>
    </main>
  )
}

function PasswordFields() {
  return (
    <>
      <TextField label="E-mail" name="email" type="email" required autoComplete="username" autoFocus />
      <TextField label="Password" name="password" type="password" required autoComplete="current-password" />
    </>
  )
}

function KeyField({ way }: { way: Exclude<Way, "password"> }) {
  const hint =
    way === "admin_key"
      ? "Shows what the key's role reaches."
      : "Shows this key's own usage, requests and limits, and nothing of anyone else."
  return <TextField label={WAYS[way]} name="secret" type="password" required autoFocus hint={hint} />
}

function LoginError({ error }: { error: Error }) {
  const wait = error instanceof ApiFailure ? error.retryAfterSeconds : null
  return (
    <p role="alert" className="rounded-control bg-badsoft px-3 py-2 text-table text-bad">
      {error.message} {wait !== null && `Try again in ${wait} s.`}
    </p>
  )
}

function credentialIn(way: Way, form: FormData): Credential {
  const text = (name: string) => String(form.get(name) ?? "").trim()
  if (way === "password") return { email: text("email"), password: String(form.get("password") ?? "") }
  return way === "admin_key" ? { admin_key: text("secret") } : { key: text("secret") }
}
