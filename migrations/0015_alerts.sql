-- Alert rules, the channels they tell, what was raised by which rule, and the outbox of messages to be delivered.

-- Where messages go. The address of a chat or webhook lets whoever knows it write there: it is encrypted with the secrets.
CREATE TABLE alert_channels (
  id                text PRIMARY KEY,
  -- NULL: the installation's.
  organization_id   text REFERENCES organizations (id),
  kind              text NOT NULL CHECK (kind IN ('email', 'slack', 'discord', 'teams', 'webhook')),
  name              text NOT NULL,
  -- Mail addresses; {} for the others.
  recipients        text[] NOT NULL DEFAULT '{}',
  -- Host and port of the address, by which people know it; '' for mail.
  host              text NOT NULL DEFAULT '',
  -- AES-256-GCM of JSON, its tag at the end, under the channel's id as additional data; NULL for mail.
  secret_ciphertext bytea,
  secret_nonce      bytea,
  secret_key_id     text,
  disabled_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nulls(secret_ciphertext, secret_nonce, secret_key_id) IN (0, 3))
);
CREATE INDEX alert_channels_organization ON alert_channels (organization_id);

CREATE TABLE alert_rules (
  id              text PRIMARY KEY,
  -- NULL: the installation's, over all organizations.
  organization_id text REFERENCES organizations (id),
  -- NULL: all projects of the organization.
  project_id      text REFERENCES projects (id),
  kind            text NOT NULL,
  name            text NOT NULL,
  -- What the kind is told: percent, minutes, days, rows; what is absent is the kind's default.
  parameters      jsonb NOT NULL DEFAULT '{}',
  -- NULL: the channels of the organization concerned, or the installation's where it has none.
  channel_ids     text[],
  disabled_at     timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CHECK (project_id IS NULL OR organization_id IS NOT NULL)
);
INSERT INTO alert_rules (id, kind, name) VALUES ('rule_default', 'threshold', 'Budgets and token limits');

-- One row for each rule, subject, window and threshold, and cap: another cap is another budget and arms the rule again.
ALTER TABLE alerts
  ADD COLUMN id       uuid NOT NULL DEFAULT gen_random_uuid(),
  ADD COLUMN rule_id  text NOT NULL DEFAULT 'rule_default',
  -- `folded`: it waits for the subject's next message, or stood in one of which it was not the reason.
  ADD COLUMN state    text NOT NULL DEFAULT 'told' CHECK (state IN ('told', 'folded')),
  -- What a message says of it, as JSON.
  ADD COLUMN facts    jsonb NOT NULL DEFAULT '{}',
  -- When a message that says it was written to the outbox, or found that it has nobody to go to.
  ADD COLUMN told_at  timestamptz,
  DROP CONSTRAINT alerts_pkey;
UPDATE alerts SET told_at = raised_at;
ALTER TABLE alerts ADD PRIMARY KEY (organization_id, rule_id, limit_id, subject, window_id, threshold_percent, cap);
CREATE UNIQUE INDEX alerts_id ON alerts (id);
CREATE INDEX alerts_rule ON alerts (rule_id, window_id);
CREATE INDEX alerts_untold ON alerts (raised_at) WHERE told_at IS NULL;

-- When a subject was last told of, so that it is not told of again within a day unless it is worse.
CREATE TABLE alert_subjects (
  rule_id         text NOT NULL,
  organization_id text NOT NULL,
  limit_id        text NOT NULL,
  subject         text NOT NULL,
  last_told_at    timestamptz,
  last_threshold  integer NOT NULL DEFAULT 0,
  PRIMARY KEY (rule_id, organization_id, limit_id, subject)
);

-- The outbox: written with the alert, delivered later, and the log of what became of it.
CREATE TABLE alert_deliveries (
  -- Also the message's id for its receiver, the same at each attempt.
  id              uuid PRIMARY KEY,
  -- '' for the installation.
  organization_id text NOT NULL,
  -- '': a test.
  rule_id         text NOT NULL,
  channel_id      text NOT NULL,
  message         jsonb NOT NULL,
  state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
  attempts        integer NOT NULL DEFAULT 0,
  -- While an attempt is under way, when it is taken to have died.
  next_attempt_at timestamptz NOT NULL,
  retry_until     timestamptz NOT NULL,
  last_error      text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL DEFAULT now(),
  delivered_at    timestamptz
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_channel ON alert_deliveries (channel_id);
