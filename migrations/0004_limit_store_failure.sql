-- What each limit does while the store that counts it is away; `local` admits within a share of what was last seen left.

ALTER TABLE limits ADD COLUMN on_store_failure text NOT NULL DEFAULT 'local'
  CHECK (on_store_failure IN ('deny', 'local', 'allow'));
