-- Who is who: organizations, projects, users, virtual keys with their limits, admin keys, the audit log.

CREATE TABLE organizations (
  id         text PRIMARY KEY,
  name       text NOT NULL,
  is_default boolean NOT NULL DEFAULT false,
  -- When the first keys were made and shown; NULL until a start has come so far as to listen.
  first_keys_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
-- One default at most, which also makes one of several first starters win.
CREATE UNIQUE INDEX organizations_default ON organizations (is_default) WHERE is_default;

CREATE TABLE projects (
  id              text PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organizations (id),
  name            text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name)
);

CREATE TABLE users (
  id              text PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organizations (id),
  name            text NOT NULL,
  email           text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (organization_id, lower(email)) WHERE email <> '';

CREATE TABLE virtual_keys (
  id              text PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organizations (id),
  project_id      text NOT NULL REFERENCES projects (id),
  -- NULL: the key is not bound to a user.
  user_id         text REFERENCES users (id),
  name            text NOT NULL,
  -- SHA-256 of the whole key: 190 random bits need no slow hash.
  secret_sha256   bytea NOT NULL UNIQUE,
  last4           text NOT NULL,
  -- NULL: every model that is routed.
  allowed_models  text[],
  expires_at      timestamptz,
  revoked_at      timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX virtual_keys_project ON virtual_keys (organization_id, project_id);

CREATE TABLE limits (
  id              text PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organizations (id),
  scope           text NOT NULL CHECK (scope IN ('organization', 'project', 'user', 'key')),
  subject         text NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('requests', 'tokens', 'usd', 'concurrency')),
  "window"        text NOT NULL CHECK ("window" IN ('minute', 'day', 'month', 'lifetime', 'none')),
  -- Whole requests, tokens or calls in flight; nano-dollars for usd.
  cap             numeric(30, 0) NOT NULL CHECK (cap >= 0),
  time_zone       text NOT NULL DEFAULT 'UTC',
  anchor_day      integer NOT NULL DEFAULT 1 CHECK (anchor_day BETWEEN 1 AND 31),
  -- Not now(): limits made in one transaction keep their order.
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((kind = 'concurrency') = ("window" = 'none'))
);
CREATE INDEX limits_subject ON limits (scope, subject);

CREATE TABLE admin_keys (
  id            text PRIMARY KEY,
  name          text NOT NULL,
  secret_sha256 bytea NOT NULL UNIQUE,
  last4         text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  revoked_at    timestamptz
);

-- Written in the transaction of every change; never updated or deleted.
CREATE TABLE audit_log (
  id              text PRIMARY KEY,
  at              timestamptz NOT NULL DEFAULT now(),
  organization_id text NOT NULL,
  actor           text NOT NULL,
  ip              text NOT NULL DEFAULT '',
  action          text NOT NULL,
  subject         text NOT NULL,
  before          jsonb,
  after           jsonb
);
CREATE INDEX audit_log_at ON audit_log (organization_id, at);

-- One row, raised in the transaction of every change to who is who; proxies poll it and drop their caches.
CREATE TABLE directory_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version  bigint NOT NULL DEFAULT 1
);
INSERT INTO directory_version DEFAULT VALUES;
