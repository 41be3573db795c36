/**
 * A secret, shown this once, with lines that use it as they stand, and a line that waits for the first call. Closes by its
 * button alone, so that no stray click takes the secret away.
 */
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import type { CreatedKey } from "../api/directory.ts"
import { Button } from "../ui/button.tsx"
import { CopyButton, Snippet } from "../ui/copy.tsx"
import { Segments } from "../ui/field.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { FirstCall } from "./first-call.tsx"
import { CLIENTS, type Client, snippet } from "./snippets.ts"

export function KeyReveal({ created, title, onClose }: { created: CreatedKey; title: string; onClose: () => void }) {
  const [client, setClient] = useState<Client>("curl")
  const model = useFirstModel(created.key)
  return (
    <Sheet
      title={title}
      subtitle={created.name}
      onClose={onClose}
      isSticky
      isWide
      foot={
        <Button look="primary" onClick={onClose}>
          I have the secret
        </Button>
      }
    >
      <section aria-label="Secret" className="rounded-control border border-warnfill bg-warnsoft p-4">
        <p className="text-table font-semibold text-warn">Shown once. Keep it where secrets are kept.</p>
        <p className="mt-2 font-mono text-body break-all select-all" data-secret>
          {created.key}
        </p>
        <div className="mt-3">
          <CopyButton text={created.key} what="secret" look="primary" />
        </div>
      </section>
      <h3 className="mt-6 mb-2 text-body font-semibold">Use it</h3>
      <div className="mb-3">
        <Segments label="Client" value={client} options={CLIENTS} onChoose={setClient} />
      </div>
      <Snippet
        label={`Lines for ${CLIENTS[client]}`}
        text={snippet(client, { origin: location.origin, key: created.key, model })}
      />
      <FirstCall keyId={created.id} sinceIso={created.rotated_at ?? created.created_at} />
    </Sheet>
  )
}

/** A model that the key may call: what its own list of models begins with. */
function useFirstModel(secret: string): string {
  const { data } = useQuery({
    queryKey: ["models of a new key"],
    queryFn: async ({ signal }) => {
      const response = await fetch("/v1/models", { headers: { authorization: `Bearer ${secret}` }, signal })
      if (!response.ok) throw new Error(`The list of models answered ${response.status}.`)
      const { data: models } = (await response.json()) as { data: { id: string }[] }
      return models[0]?.id ?? null
    },
    gcTime: 0,
    retry: false,
  })
  return data ?? "MODEL"
}
