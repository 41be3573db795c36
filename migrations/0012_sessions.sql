-- Log-in: sessions of the environment's admin key and of virtual keys, throttled attempts, roles that come from groups.

ALTER TABLE sessions
  DROP CONSTRAINT sessions_check,
  -- Of a session that a virtual key opened: the digest of the secret that did, so that it ends when that secret does.
  ADD COLUMN key_secret_sha256 bytea,
  -- Of a session that the environment's admin key opened: an HMAC of that key under the session's own secret, which only
  -- the browser has. It ends when the key changes, and nothing here lets the key be guessed.
  ADD COLUMN environment_mac   bytea,
  ADD CONSTRAINT sessions_whose CHECK (num_nonnulls(user_id, admin_key_id, key_id, environment_mac) = 1),
  ADD CONSTRAINT sessions_key CHECK ((key_id IS NULL) = (key_secret_sha256 IS NULL));

-- The wait after failures grows with their number and begins at the last one.
ALTER TABLE login_failures RENAME COLUMN since TO last_at;
CREATE INDEX login_failures_last_at ON login_failures (last_at);

-- Roles that an identity provider's groups gave are set anew at each log-in; those given by hand stay.
ALTER TABLE role_grants
  ADD COLUMN source text NOT NULL DEFAULT 'hand' CHECK (source IN ('hand', 'groups'));

-- Log-in by password finds the user by the address alone.
CREATE INDEX users_login ON users (lower(email)) WHERE password_hash IS NOT NULL;
