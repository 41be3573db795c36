-- Provider objects: whose each file, batch, response, … at a provider is, and whether its later usage has been booked.

CREATE TABLE provider_objects (
  provider        text NOT NULL,
  -- As the provider names it: `file-…`, `resp_…`, `files/…`.
  id              text NOT NULL,
  kind            text NOT NULL,
  organization_id text NOT NULL,
  project_id      text NOT NULL,
  key_id          text NOT NULL,
  -- The usage record of the call that made it; NULL where it was made elsewhere and adopted.
  call_id         uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  -- What is needed to book the usage that the provider reports later; NULL where none is awaited.
  booking         jsonb,
  booked_at       timestamptz,
  -- Deleted at the provider. The row stays: what it used may still be booked.
  deleted_at      timestamptz,
  PRIMARY KEY (provider, id)
);
CREATE INDEX provider_objects_key ON provider_objects (key_id, created_at);
