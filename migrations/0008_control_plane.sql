-- The control plane: lives of organizations, projects, users, service accounts and keys; roles; sessions; the audit log.

ALTER TABLE organizations
  ADD COLUMN external_id text,
  -- IANA zone in which the organization's days begin in reports.
  ADD COLUMN time_zone   text NOT NULL DEFAULT 'UTC',
  -- While set, every key of the organization is refused.
  ADD COLUMN disabled_at timestamptz;
CREATE UNIQUE INDEX organizations_external_id ON organizations (external_id) WHERE external_id IS NOT NULL;

ALTER TABLE projects
  ADD COLUMN external_id text,
  -- For finance: whom the project's cost is charged to.
  ADD COLUMN client      text NOT NULL DEFAULT '',
  ADD COLUMN cost_center text NOT NULL DEFAULT '',
  ADD COLUMN disabled_at timestamptz,
  -- What keys get that members make for themselves; {} where they may not.
  ADD COLUMN key_defaults jsonb NOT NULL DEFAULT '{}';
CREATE UNIQUE INDEX projects_external_id ON projects (organization_id, external_id) WHERE external_id IS NOT NULL;

ALTER TABLE users
  -- A service account is a user that no person logs in as: its calls, limits and reports are a user's.
  ADD COLUMN kind          text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service_account')),
  ADD COLUMN external_id   text,
  ADD COLUMN disabled_at   timestamptz,
  -- scrypt, with its parameters; NULL: no log-in by password.
  ADD COLUMN password_hash text,
  -- Whom the identity provider knows the user as: issuer and subject.
  ADD COLUMN oidc_subject  text;
CREATE UNIQUE INDEX users_external_id ON users (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX users_oidc_subject ON users (oidc_subject) WHERE oidc_subject IS NOT NULL;

CREATE TABLE project_members (
  project_id text NOT NULL REFERENCES projects (id),
  user_id    text NOT NULL REFERENCES users (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_user ON project_members (user_id);
-- Until now a user belonged to the projects of the keys bound to them.
INSERT INTO project_members (project_id, user_id)
  SELECT DISTINCT project_id, user_id FROM virtual_keys WHERE user_id IS NOT NULL;

ALTER TABLE virtual_keys
  ADD COLUMN external_id            text,
  ADD COLUMN tags                   text[] NOT NULL DEFAULT '{}',
  ADD COLUMN metadata               jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN rotated_at             timestamptz,
  -- The secret before the last rotation, and until when it is still accepted.
  ADD COLUMN previous_secret_sha256 bytea UNIQUE,
  ADD COLUMN previous_valid_until   timestamptz;
CREATE UNIQUE INDEX virtual_keys_external_id ON virtual_keys (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX virtual_keys_user ON virtual_keys (user_id) WHERE user_id IS NOT NULL;

-- Which role somebody has, and over what. scope_id is '' for the installation, else an organization's or project's id.
CREATE TABLE role_grants (
  user_id    text NOT NULL REFERENCES users (id),
  role       text NOT NULL CHECK (role IN ('owner', 'admin', 'billing', 'viewer')),
  scope      text NOT NULL CHECK (scope IN ('installation', 'organization', 'project')),
  scope_id   text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, scope, scope_id),
  CHECK ((scope = 'installation') = (scope_id = ''))
);

-- Admin keys made so far may do everything.
ALTER TABLE admin_keys
  ADD COLUMN role       text NOT NULL DEFAULT 'owner' CHECK (role IN ('owner', 'admin', 'billing', 'viewer')),
  ADD COLUMN scope      text NOT NULL DEFAULT 'installation' CHECK (scope IN ('installation', 'organization', 'project')),
  ADD COLUMN scope_id   text NOT NULL DEFAULT '',
  ADD COLUMN expires_at timestamptz,
  ADD CONSTRAINT admin_keys_scope CHECK ((scope = 'installation') = (scope_id = ''));

-- Log-ins. The browser holds a secret of which only the digest stands here. Exactly one of the three is who logged in.
CREATE TABLE sessions (
  secret_sha256 bytea PRIMARY KEY,
  user_id       text REFERENCES users (id),
  admin_key_id  text REFERENCES admin_keys (id),
  key_id        text REFERENCES virtual_keys (id),
  ip            text NOT NULL DEFAULT '',
  created_at    timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz NOT NULL,
  CHECK (num_nonnulls(user_id, admin_key_id, key_id) = 1)
);
CREATE INDEX sessions_user ON sessions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_expires ON sessions (expires_at);

-- Failed log-ins by whom they were about and where they came from, over all processes.
CREATE TABLE login_failures (
  subject   text PRIMARY KEY,
  failures  integer NOT NULL,
  since     timestamptz NOT NULL
);

-- Rows come and stay. The grant alone would not bind the owner of the table, who could give it back to itself.
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_log is append-only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM PUBLIC, CURRENT_USER;
CREATE INDEX audit_log_subject ON audit_log (subject, at);
