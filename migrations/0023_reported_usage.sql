-- Usage of calls that did not pass the proxy: what was reported once and is not to be booked twice, and room held for it.

-- One row per record that was sent with a key of its own. Not partitioned, since a key is unique over all times.
CREATE TABLE usage_once (
  organization_id text NOT NULL,
  -- Whose keys these are: `key:<virtual key>`, `project:<project>` of admins, `adjust:<record>` of corrections.
  source          text NOT NULL,
  key             text NOT NULL,
  record_id       uuid NOT NULL,
  record_time     timestamptz NOT NULL,
  -- SHA-256 of what was sent: the same key with other content is a mistake, not a repetition.
  fingerprint     bytea NOT NULL,
  -- The record as it goes to the journal; NULL once it is known to be in the ledger.
  body            text,
  -- It stands in a journal and is charged: a repetition has nothing left to do.
  is_written      boolean NOT NULL DEFAULT false,
  claimed_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, source, key)
);
CREATE INDEX usage_once_claimed ON usage_once (claimed_at);
CREATE INDEX usage_once_unsettled ON usage_once (claimed_at) WHERE body IS NOT NULL;

-- Room that is held for calls that go past the proxy, until they are reported or the hold expires. Any process ends it.
CREATE TABLE usage_holds (
  id              uuid PRIMARY KEY,
  organization_id text NOT NULL,
  key_id          text NOT NULL,
  -- What is held of which limits, as the limit store was told.
  charges         jsonb NOT NULL,
  expires_at      timestamptz NOT NULL
);
CREATE INDEX usage_holds_expires ON usage_holds (expires_at);

-- What the price book says of a record whose cost was reported; NULL where the cost is the book's, or the book has no price.
ALTER TABLE usage_records ADD COLUMN book_cost_usd numeric(24,12);
