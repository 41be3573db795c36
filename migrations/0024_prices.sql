-- Prices that admins set, of the installation or of one organization, and what organizations pay beside the list.

-- A row is never changed but by its end: what a record pins can be worked out again for good.
CREATE TABLE prices (
  id              text PRIMARY KEY,
  -- NULL: of the installation.
  organization_id text REFERENCES organizations,
  provider        text NOT NULL,
  model           text NOT NULL,
  -- aliases, prefixes, rates, units and fees, in the words of a price file and in the order in which they were given.
  price           json NOT NULL,
  source          text NOT NULL,
  note            text NOT NULL DEFAULT '',
  -- Calls that arrive in [effective_from, ended_at) are priced by it, unless a later one of the same tier has begun.
  effective_from  timestamptz NOT NULL,
  ended_at        timestamptz,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX prices_of ON prices (provider, model);
CREATE INDEX prices_organization ON prices (organization_id) WHERE organization_id IS NOT NULL;

CREATE TABLE price_terms (
  id                    text PRIMARY KEY,
  organization_id       text NOT NULL REFERENCES organizations,
  -- '': of every provider that has no terms of its own.
  provider              text NOT NULL DEFAULT '',
  markup_percent        numeric(8,4) NOT NULL DEFAULT 0 CHECK (markup_percent >= 0),
  discount_percent      numeric(7,4) NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 100),
  -- Dollars per 1,000,000 tokens of models without a price; both or neither.
  ceiling_input_usd     numeric(24,12) CHECK (ceiling_input_usd >= 0),
  ceiling_output_usd    numeric(24,12) CHECK (ceiling_output_usd >= 0),
  note                  text NOT NULL DEFAULT '',
  effective_from        timestamptz NOT NULL,
  ended_at              timestamptz,
  created_by            text NOT NULL,
  created_at            timestamptz NOT NULL DEFAULT now(),
  CHECK ((ceiling_input_usd IS NULL) = (ceiling_output_usd IS NULL))
);
CREATE INDEX price_terms_organization ON price_terms (organization_id);

-- The directory's version with which prices or terms last changed: whoever knows them as of it need not read them again.
ALTER TABLE directory_version ADD COLUMN prices_version bigint NOT NULL DEFAULT 0;

-- What a record's cost was before its organization's markup and discount; NULL where neither applied.
ALTER TABLE usage_records ADD COLUMN base_cost_usd numeric(24,12);

CREATE OR REPLACE VIEW usage_records_v1 AS
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
         r.ingested_at, r.bound, r.base_cost_usd
  FROM usage_records r
  LEFT JOIN organizations o ON o.id = r.organization_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN virtual_keys k ON k.id = r.key_id;
