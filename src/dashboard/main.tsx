/** The way in of the browser program. */
import { CSPProvider } from "@base-ui/react/csp-provider"
import { QueryClientProvider } from "@tanstack/react-query"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { openQueries } from "./api/queries.ts"
import { Dashboard } from "./dashboard.tsx"
import { Toasts } from "./ui/toasts.tsx"
import "./theme.css"

const root = document.getElementById("root")
if (root === null) throw new Error("index.html lacks its root.")
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={openQueries()}>
        <Toasts>
          <Dashboard />
        </Toasts>
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
)
