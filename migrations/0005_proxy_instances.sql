-- The proxies that are running: each says so every few seconds, with the journal that it writes.

CREATE TABLE proxy_instances (
  -- Name of the proxy in the limit store's holds.
  id         text PRIMARY KEY,
  journal_id uuid NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX proxy_instances_seen ON proxy_instances (seen_at);
