-- What reports read: days in each organization's own zone, folded from the 15-minute rollup, and views for readers of SQL.

-- The price row that priced the records, from which a cost is split by token class. '' where no row did, and in sums that
-- were made before this column.
ALTER TABLE usage_rollups ADD COLUMN price_row text NOT NULL DEFAULT '';
ALTER TABLE usage_rollups DROP CONSTRAINT usage_rollups_pkey;
ALTER TABLE usage_rollups ADD PRIMARY KEY (organization_id, bucket, project_id, user_id, key_id, provider_account, provider,
  model_served, endpoint, tool, operation, tier_served, outcome, stream, usage_source, price_row);

-- Each combination of dimensions that ever occurred, once: rows of usage_day then hold a number in place of fifteen texts.
CREATE TABLE usage_series (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id  text NOT NULL,
  project_id       text NOT NULL,
  user_id          text NOT NULL,
  key_id           text NOT NULL,
  provider_account text NOT NULL,
  provider         text NOT NULL,
  model_served     text NOT NULL,
  endpoint         text NOT NULL,
  tool             text NOT NULL,
  operation        text NOT NULL,
  tier_served      text NOT NULL,
  outcome          text NOT NULL,
  stream           boolean NOT NULL,
  usage_source     text NOT NULL,
  price_row        text NOT NULL,
  UNIQUE (organization_id, project_id, user_id, key_id, provider_account, provider, model_served, endpoint, tool,
          operation, tier_served, outcome, stream, usage_source, price_row)
);

-- Sums of one day of an organization, in the zone that it had when the day was folded. Written by the folding job alone.
-- The histograms of usage_rollups stand in columns, NULL for 0: most bins are empty, and an empty one takes one bit.
CREATE TABLE usage_day (
  organization_id       text NOT NULL,
  -- The day's first moment.
  starts_at             timestamptz NOT NULL,
  series_id             bigint NOT NULL,
  records               bigint NOT NULL,
  adjustments           bigint NOT NULL,
  unpriced_records      bigint NOT NULL,
  mismatch_records      bigint NOT NULL,
  input_uncached_tokens bigint NOT NULL,
  cache_read_tokens     bigint NOT NULL,
  cache_write_5m_tokens bigint NOT NULL,
  cache_write_1h_tokens bigint NOT NULL,
  output_tokens         bigint NOT NULL,
  reasoning_tokens      bigint NOT NULL,
  audio_input_tokens    bigint NOT NULL,
  image_input_tokens    bigint NOT NULL,
  audio_output_tokens   bigint NOT NULL,
  image_output_tokens   bigint NOT NULL,
  web_searches          bigint NOT NULL,
  units                 numeric NOT NULL,
  cost_usd              numeric(24,12) NOT NULL,
  duration_ms           bigint NOT NULL,
  ttft_ms               bigint NOT NULL,
  duration_bin_1        bigint,
  duration_bin_2        bigint,
  duration_bin_3        bigint,
  duration_bin_4        bigint,
  duration_bin_5        bigint,
  duration_bin_6        bigint,
  duration_bin_7        bigint,
  duration_bin_8        bigint,
  duration_bin_9        bigint,
  duration_bin_10       bigint,
  duration_bin_11       bigint,
  duration_bin_12       bigint,
  duration_bin_13       bigint,
  duration_bin_14       bigint,
  duration_bin_15       bigint,
  duration_bin_16       bigint,
  duration_bin_17       bigint,
  duration_bin_18       bigint,
  duration_bin_19       bigint,
  duration_bin_20       bigint,
  duration_bin_21       bigint,
  duration_bin_22       bigint,
  duration_bin_23       bigint,
  ttft_bin_1            bigint,
  ttft_bin_2            bigint,
  ttft_bin_3            bigint,
  ttft_bin_4            bigint,
  ttft_bin_5            bigint,
  ttft_bin_6            bigint,
  ttft_bin_7            bigint,
  ttft_bin_8            bigint,
  ttft_bin_9            bigint,
  ttft_bin_10           bigint,
  ttft_bin_11           bigint,
  ttft_bin_12           bigint,
  ttft_bin_13           bigint,
  ttft_bin_14           bigint,
  ttft_bin_15           bigint,
  ttft_bin_16           bigint,
  ttft_bin_17           bigint,
  ttft_bin_18           bigint,
  ttft_bin_19           bigint,
  ttft_bin_20           bigint,
  ttft_bin_21           bigint,
  ttft_bin_22           bigint,
  ttft_bin_23           bigint,
  PRIMARY KEY (organization_id, starts_at, series_id)
);

-- The days that usage_day holds, and from when to when each of them really went. A day of which the rollup has changed
-- since has a mark in usage_day_dirty, and is read from the rollup until it is folded again.
CREATE TABLE usage_day_fold (
  organization_id text NOT NULL,
  starts_at       timestamptz NOT NULL,
  ends_at         timestamptz NOT NULL,
  day             date NOT NULL,
  time_zone       text NOT NULL,
  folded_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, starts_at)
);

-- Buckets of the rollup that have changed since their day was folded, or whose day never was. Every ingest statement locks
-- the marks of its buckets, so that a fold waits for records on their way, and records that come after it mark anew.
CREATE TABLE usage_day_dirty (
  organization_id text NOT NULL,
  bucket          timestamptz NOT NULL,
  PRIMARY KEY (organization_id, bucket)
);
INSERT INTO usage_day_dirty (organization_id, bucket) SELECT DISTINCT organization_id, bucket FROM usage_rollups;

-- Whoever folds days of an organization holds its row's lock.
CREATE TABLE usage_day_job (
  organization_id text PRIMARY KEY
);

-- For readers of SQL. Columns are only ever added at the end; docs/sql.md describes them.
CREATE VIEW usage_summary AS
  SELECT r.bucket AS time, r.organization_id, o.name AS organization, r.project_id, p.name AS project,
         coalesce(p.client, '') AS client, coalesce(p.cost_center, '') AS cost_center, r.user_id, r.key_id, k.name AS key,
         r.provider, r.provider_account, r.model_served AS model, r.endpoint, r.tool, r.operation, r.tier_served AS tier,
         r.outcome, r.stream, r.usage_source, r.price_row,
         r.records, r.adjustments, r.unpriced_records, r.mismatch_records,
         r.input_uncached_tokens, r.cache_read_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, r.output_tokens,
         r.reasoning_tokens, r.audio_input_tokens, r.image_input_tokens, r.audio_output_tokens, r.image_output_tokens,
         r.web_searches, r.units, r.cost_usd, r.duration_ms, r.ttft_ms
  FROM usage_rollups r
  LEFT JOIN organizations o ON o.id = r.organization_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN virtual_keys k ON k.id = r.key_id;

CREATE VIEW usage_records_v1 AS
  SELECT r.time, r.id, r.kind, r.adjusts_id, r.organization_id, o.name AS organization, r.project_id, p.name AS project,
         coalesce(p.client, '') AS client, coalesce(p.cost_center, '') AS cost_center, r.user_id, r.key_id, k.name AS key,
         r.end_customer, r.conversation, r.tool, r.operation, r.tags, r.metadata, r.client_request_id,
         r.endpoint, r.provider, r.provider_account, r.region, r.billing, r.model_requested, r.model_routed,
         r.model_served AS model, r.tier_requested, r.tier_served AS tier, r.provider_request_id, r.provider_response_id,
         r.stream, r.outcome, r.end_state, r.http_status, r.error_code, r.cut_by, r.usage_source, r.estimator,
         r.input_uncached_tokens, r.cache_read_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, r.output_tokens,
         r.reasoning_tokens, r.audio_input_tokens, r.image_input_tokens, r.audio_output_tokens, r.image_output_tokens,
         r.web_searches, r.units, r.unit_type, r.usage_mismatch, r.price_state, r.cost_usd, r.cost_source, r.price_row,
         r.provider_cost_usd, r.duration_ms, r.ttft_ms, r.upstream_ms, r.overhead_us, r.request_bytes, r.response_bytes,
         r.ingested_at
  FROM usage_records r
  LEFT JOIN organizations o ON o.id = r.organization_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN virtual_keys k ON k.id = r.key_id;
