-- Digests and which of them were sent, recipients beyond plain addresses, and how many calls were refused.

CREATE TABLE digests (
  id              text PRIMARY KEY,
  -- NULL: the installation's, over all organizations.
  organization_id text REFERENCES organizations (id),
  name            text NOT NULL,
  -- What it is about: the last whole day, week or month before it is due.
  period          text NOT NULL CHECK (period IN ('daily', 'weekly', 'monthly')),
  -- When it is due: five fields of cron, in the zone that its days are of as well.
  schedule        text NOT NULL,
  time_zone       text NOT NULL,
  -- NULL: the channels of the organization, or the installation's where it has none.
  channel_ids     text[],
  disabled_at     timestamptz,
  -- What was due before is not made up for: when it was made, switched on again, or its schedule last changed.
  due_from        timestamptz NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX digests_organization ON digests (organization_id);

-- Written in the transaction that writes its messages: whichever process is first, and none twice.
CREATE TABLE digest_runs (
  digest_id  text NOT NULL REFERENCES digests (id) ON DELETE CASCADE,
  -- As windows are named: `2026-11-23`, `2026-W48`, `2026-11`.
  period_id  text NOT NULL,
  -- '': the schedule's, one of each period; else an id of its own, of one that somebody sent by hand.
  occasion   text NOT NULL DEFAULT '',
  -- What mails have attached.
  csv        text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (digest_id, period_id, occasion)
);
CREATE INDEX digest_runs_created ON digest_runs (created_at);

ALTER TABLE alert_deliveries
  -- '': an alert or a test.
  ADD COLUMN digest_id text NOT NULL DEFAULT '',
  -- Whom the alert is about; '' for nobody. The address is looked up when the message is sent.
  ADD COLUMN user_id   text NOT NULL DEFAULT '',
  -- Addresses of a mail that have it, while others of it do not.
  ADD COLUMN arrived   text[] NOT NULL DEFAULT '{}';
CREATE INDEX alert_deliveries_ended ON alert_deliveries (created_at) WHERE state <> 'waiting';
CREATE INDEX alerts_raised ON alerts (raised_at);

-- Calls of known keys that were refused, by quarter of an hour as the rollup has them. Written every second by each
-- process; refused calls are no records.
CREATE TABLE refusal_counts (
  organization_id text NOT NULL,
  bucket          timestamptz NOT NULL,
  key_id          text NOT NULL,
  -- The code in the caller's error.
  code            text NOT NULL,
  refusals        bigint NOT NULL,
  PRIMARY KEY (organization_id, bucket, key_id, code)
);
CREATE INDEX refusal_counts_bucket ON refusal_counts (bucket);
