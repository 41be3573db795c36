/** Over whom a rule is, or whose a channel is: the installation, an organization, or a project. */
import { useQuery } from "@tanstack/react-query"
import type { AlertScope } from "../../api/alerts.ts"
import { organizationsQuery, projectsQuery } from "../../api/directory.ts"
import { useSession } from "../../api/session.ts"
import { SelectField } from "../../ui/field.tsx"
import { isOverAll } from "./words.ts"

export function ScopeField({
  label = "Over",
  scope,
  fault,
  hasProjects = true,
  onChange,
}: {
  label?: string
  scope: AlertScope
  fault?: string | undefined
  /** Whether it may be a project. */
  hasProjects?: boolean
  onChange: (scope: AlertScope) => void
}) {
  const session = useSession()
  const organizations = useQuery(organizationsQuery).data ?? []
  const projects = useQuery(projectsQuery(undefined)).data ?? []
  return (
    <SelectField
      label={label}
      error={fault}
      value={scope.project_id ?? scope.organization_id ?? ""}
      onChange={(event) => onChange(scopeNamed(event.target.value))}
    >
      {isOverAll(session) && <option value="">The installation, all organizations</option>}
      {organizations.map(({ id, name }) => (
        <option key={id} value={id}>
          Organization {name}
        </option>
      ))}
      {hasProjects &&
        projects.map(({ id, name }) => (
          <option key={id} value={id}>
            Project {name}
          </option>
        ))}
    </SelectField>
  )

  function scopeNamed(id: string): AlertScope {
    if (id === "") return {}
    return organizations.some((one) => one.id === id) ? { organization_id: id } : { project_id: id }
  }
}
