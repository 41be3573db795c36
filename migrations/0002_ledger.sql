-- The ledger: usage records in monthly partitions, their 15-minute rollup, what limits have used, how far journals came.

-- One row per call. A partition is attached before rows of its month arrive; there is no DEFAULT partition, since a stray
-- row in it would block the month's real one. The primary key must hold the partition key, so `time` comes from the record.
CREATE TABLE usage_records (
  id                    uuid NOT NULL,
  time                  timestamptz NOT NULL,
  kind                  text NOT NULL DEFAULT 'call',
  adjusts_id            uuid,

  organization_id       text NOT NULL,
  project_id            text NOT NULL DEFAULT '',
  user_id               text NOT NULL DEFAULT '',
  key_id                text NOT NULL DEFAULT '',
  end_customer          text NOT NULL DEFAULT '',
  conversation          text NOT NULL DEFAULT '',
  tool                  text NOT NULL DEFAULT '',
  operation             text NOT NULL DEFAULT '',
  tags                  text[] NOT NULL DEFAULT '{}',
  metadata              jsonb NOT NULL DEFAULT '{}',
  client_request_id     text NOT NULL DEFAULT '',

  endpoint              text NOT NULL DEFAULT '',
  dialect               text NOT NULL DEFAULT '',
  provider              text NOT NULL DEFAULT '',
  provider_account      text NOT NULL DEFAULT '',
  region                text NOT NULL DEFAULT '',
  billing               text NOT NULL DEFAULT 'account',
  model_requested       text NOT NULL DEFAULT '',
  model_routed          text NOT NULL DEFAULT '',
  model_served          text NOT NULL DEFAULT '',
  tier_requested        text NOT NULL DEFAULT '',
  tier_served           text NOT NULL DEFAULT '',
  provider_request_id   text NOT NULL DEFAULT '',
  provider_response_id  text NOT NULL DEFAULT '',
  stream                boolean NOT NULL DEFAULT false,
  attempts              jsonb NOT NULL DEFAULT '[]',

  outcome               text NOT NULL DEFAULT '',
  end_state             text NOT NULL DEFAULT '',
  http_status           integer NOT NULL DEFAULT 0,
  error_code            text NOT NULL DEFAULT '',
  cut_by                text NOT NULL DEFAULT '',

  usage_source          text NOT NULL DEFAULT 'none',
  estimator             text NOT NULL DEFAULT '',
  input_uncached_tokens bigint NOT NULL DEFAULT 0,
  cache_read_tokens     bigint NOT NULL DEFAULT 0,
  cache_write_5m_tokens bigint NOT NULL DEFAULT 0,
  cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
  output_tokens         bigint NOT NULL DEFAULT 0,
  reasoning_tokens      bigint NOT NULL DEFAULT 0,
  audio_input_tokens    bigint NOT NULL DEFAULT 0,
  image_input_tokens    bigint NOT NULL DEFAULT 0,
  audio_output_tokens   bigint NOT NULL DEFAULT 0,
  image_output_tokens   bigint NOT NULL DEFAULT 0,
  web_searches          bigint NOT NULL DEFAULT 0,
  units                 numeric NOT NULL DEFAULT 0,
  unit_type             text NOT NULL DEFAULT '',
  usage_mismatch        boolean NOT NULL DEFAULT false,
  usage_raw             jsonb,

  price_state           text NOT NULL DEFAULT 'unpriced',
  cost_usd              numeric(24,12),
  cost_source           text NOT NULL DEFAULT '',
  price_row             text NOT NULL DEFAULT '',
  provider_cost_usd     numeric(24,12),
  -- What each limit took: [{limit_id, subject, window, amount}], amounts as decimal strings in the limit's unit.
  charges               jsonb NOT NULL DEFAULT '[]',

  duration_ms           bigint NOT NULL DEFAULT 0,
  ttft_ms               bigint,
  upstream_ms           bigint,
  overhead_us           bigint NOT NULL DEFAULT 0,
  request_bytes         bigint NOT NULL DEFAULT 0,
  response_bytes        bigint NOT NULL DEFAULT 0,

  journal_id            uuid,
  journal_seq           bigint,
  ingested_at           timestamptz NOT NULL DEFAULT now(),

  PRIMARY KEY (organization_id, time, id)
) PARTITION BY RANGE (time);

CREATE INDEX usage_records_id ON usage_records (id);
CREATE INDEX usage_records_key ON usage_records (organization_id, key_id, time);
CREATE INDEX usage_records_conversation ON usage_records (organization_id, conversation, time) WHERE conversation <> '';
CREATE INDEX usage_records_end_customer ON usage_records (organization_id, end_customer, time) WHERE end_customer <> '';
CREATE INDEX usage_records_tags ON usage_records USING gin (tags);
CREATE INDEX usage_records_unpriced ON usage_records (time) WHERE price_state = 'unpriced';

-- Sums of records by 15 UTC minutes and every dimension that a dashboard slices by; written by the ingest statement alone.
-- Dimensions that a caller or a provider words (tool, operation, model_served) hold their first 120 characters, since a
-- B-tree key must fit a third of a page.
-- Histograms: element 1 counts below the first bound, element n from bound n-1 up to bound n, the last one everything
-- from the last bound on. Bounds in milliseconds: 10 20 50 100 200 300 500 750 1000 1500 2000 3000 5000 7500 10000 15000
-- 20000 30000 60000 120000 300000 600000.
CREATE TABLE usage_rollups (
  organization_id       text NOT NULL DEFAULT '',
  bucket                timestamptz NOT NULL,
  project_id            text NOT NULL DEFAULT '',
  user_id               text NOT NULL DEFAULT '',
  key_id                text NOT NULL DEFAULT '',
  provider_account      text NOT NULL DEFAULT '',
  provider              text NOT NULL DEFAULT '',
  model_served          text NOT NULL DEFAULT '',
  endpoint              text NOT NULL DEFAULT '',
  tool                  text NOT NULL DEFAULT '',
  operation             text NOT NULL DEFAULT '',
  tier_served           text NOT NULL DEFAULT '',
  outcome               text NOT NULL DEFAULT '',
  stream                boolean NOT NULL DEFAULT false,
  usage_source          text NOT NULL DEFAULT '',

  -- Calls and reports; an adjustment adds to the sums but is not a call.
  records               bigint NOT NULL DEFAULT 0,
  adjustments           bigint NOT NULL DEFAULT 0,
  unpriced_records      bigint NOT NULL DEFAULT 0,
  mismatch_records      bigint NOT NULL DEFAULT 0,
  input_uncached_tokens numeric(30,0) NOT NULL DEFAULT 0,
  cache_read_tokens     numeric(30,0) NOT NULL DEFAULT 0,
  cache_write_5m_tokens numeric(30,0) NOT NULL DEFAULT 0,
  cache_write_1h_tokens numeric(30,0) NOT NULL DEFAULT 0,
  output_tokens         numeric(30,0) NOT NULL DEFAULT 0,
  reasoning_tokens      numeric(30,0) NOT NULL DEFAULT 0,
  audio_input_tokens    numeric(30,0) NOT NULL DEFAULT 0,
  image_input_tokens    numeric(30,0) NOT NULL DEFAULT 0,
  audio_output_tokens   numeric(30,0) NOT NULL DEFAULT 0,
  image_output_tokens   numeric(30,0) NOT NULL DEFAULT 0,
  web_searches          numeric(30,0) NOT NULL DEFAULT 0,
  units                 numeric NOT NULL DEFAULT 0,
  cost_usd              numeric(24,12) NOT NULL DEFAULT 0,
  -- Each record's cost rounded up to the next nano-dollar, then added: what a money limit over these records is charged.
  charged_nanos         numeric(30,0) NOT NULL DEFAULT 0,
  duration_ms           numeric(30,0) NOT NULL DEFAULT 0,
  ttft_ms               numeric(30,0) NOT NULL DEFAULT 0,
  duration_histogram    bigint[] NOT NULL,
  ttft_histogram        bigint[] NOT NULL,

  PRIMARY KEY (organization_id, bucket, project_id, user_id, key_id, provider_account, provider, model_served, endpoint,
               tool, operation, tier_served, outcome, stream, usage_source)
) WITH (fillfactor = 70); -- Rows are updated in place while their bucket is current: room for HOT updates.
CREATE INDEX usage_rollups_bucket ON usage_rollups (bucket);

-- What each limit has settled in each window, from the charges of the records that were really inserted. Retention never
-- deletes here: counters are rebuilt from it.
CREATE TABLE limit_usage (
  organization_id text NOT NULL,
  limit_id        text NOT NULL,
  subject         text NOT NULL,
  window_id       text NOT NULL,
  settled         numeric(30,0) NOT NULL,
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, limit_id, subject, window_id)
) WITH (fillfactor = 70);

-- The last row of each journal that is in the ledger, written with the rows themselves.
CREATE TABLE journal_ack (
  journal_id uuid PRIMARY KEY,
  last_seq   bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
