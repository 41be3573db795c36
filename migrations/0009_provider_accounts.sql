-- Providers and accounts at them that are made by API, credentials encrypted; limits on provider accounts.

-- Providers that the configuration does not have; one that it has as well is its own.
CREATE TABLE providers (
  name               text PRIMARY KEY,
  dialect            text NOT NULL CHECK (dialect IN ('openai', 'anthropic', 'google')),
  base_url           text NOT NULL,
  region             text NOT NULL DEFAULT '',
  -- The provider whose prices apply; '': its own name.
  priced_as          text NOT NULL DEFAULT '',
  include_usage      boolean NOT NULL DEFAULT true,
  -- Patterns of requested models that go to it where no route of the configuration matches.
  models             text[] NOT NULL DEFAULT '{}',
  -- Names of further headers. Their values may be credentials: together they are encrypted, as JSON.
  header_names       text[] NOT NULL DEFAULT '{}',
  headers_ciphertext bytea,
  headers_nonce      bytea,
  headers_key_id     text,
  disabled_at        timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nulls(headers_ciphertext, headers_nonce, headers_key_id) IN (0, 3))
);

-- Accounts at providers of this table or of the configuration; therefore no reference.
CREATE TABLE provider_accounts (
  provider              text NOT NULL,
  name                  text NOT NULL,
  -- AES-256-GCM, its tag at the end, under the account's name as additional data; NULL: servers that take no credential.
  credential_ciphertext bytea,
  credential_nonce      bytea,
  -- Which encryption key: the beginning of its digest.
  credential_key_id     text,
  last4                 text NOT NULL DEFAULT '',
  weight                integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
  -- NULL: the provider's.
  region                text,
  disabled_at           timestamptz,
  created_at            timestamptz NOT NULL DEFAULT now(),
  credential_set_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (provider, name),
  CHECK (num_nulls(credential_ciphertext, credential_nonce, credential_key_id) IN (0, 3))
);

-- The account that made the object; '' for those made before there could be several: the provider's first one.
ALTER TABLE provider_objects ADD COLUMN account text NOT NULL DEFAULT '';

-- A limit on a provider account belongs to the installation. Its subject is `<provider>/<account>`.
ALTER TABLE limits
  ALTER COLUMN organization_id DROP NOT NULL,
  ADD COLUMN each text NOT NULL DEFAULT '' CHECK (each IN ('', 'organization', 'project', 'user', 'key')),
  DROP CONSTRAINT limits_scope_check,
  ADD CONSTRAINT limits_scope_check CHECK (scope IN ('organization', 'project', 'user', 'key', 'provider_account')),
  ADD CONSTRAINT limits_organization CHECK ((scope = 'provider_account') = (organization_id IS NULL)),
  ADD CONSTRAINT limits_each CHECK (each = '' OR scope = 'provider_account');
