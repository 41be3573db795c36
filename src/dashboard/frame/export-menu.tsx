/** Takes along exactly what the page shows: as a file, as a link, as a line for a shell. Says what the file holds. */
import type { Query } from "../api/client.ts"
import { type Realm, USAGE_PATHS } from "../api/realm.ts"
import { EXPORT_FORMATS, type ExportFormat, type ExportKind, exportAddress } from "../api/usage.ts"
import { Icon } from "../ui/icons.tsx"
import { type Act, Acts } from "../ui/menu.tsx"
import { useToast } from "../ui/toasts.tsx"

const FORMATS = Object.keys(EXPORT_FORMATS) as ExportFormat[]

export function ExportMenu({
  realm,
  kind,
  query,
  records,
  label = "Export",
}: {
  realm: Realm
  kind: ExportKind
  query: Query
  /** The filter of the raw records behind the view; absent where the view is records itself. */
  records?: Query
  label?: string
}) {
  const toast = useToast()
  const link = (text: string, what: ExportKind, format: ExportFormat, of: Query): Act => ({
    text,
    href: exportAddress(realm, what, format, of),
    onAct: () => toast("Export started"),
  })
  const copy = (text: string, said: string) => () =>
    void navigator.clipboard.writeText(text).then(
      () => toast(said),
      () => toast("The browser did not let the page copy"),
    )
  const command = () => {
    const address = new URL(exportAddress(realm, kind, "csv", query), location.origin)
    return `curl -H "Authorization: Bearer $${realm === "admin" ? "ADMIN_KEY" : "TALLYGATE_KEY"}" '${address}'`
  }
  const acts: Act[] = [
    ...FORMATS.map((format) => link(`This view as ${EXPORT_FORMATS[format]}`, kind, format, query)),
    ...(records === undefined
      ? []
      : [
          link("Single records as CSV", "records", "csv", records),
          link("Single records as NDJSON", "records", "ndjson", records),
        ]),
    { text: "Copy link to this view", onAct: copy(location.href, "Link copied") },
    { text: `Copy as curl, ${USAGE_PATHS[realm]}/export`, onAct: copy(command(), "Command copied") },
  ]
  return (
    <Acts label={label} acts={acts} look="plain">
      <Icon name="export" />
      {label}
    </Acts>
  )
}
