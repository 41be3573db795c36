-- Bounded calls: what a limit does to a call of which nobody can tell beforehand what it uses at most, and what a record
-- says of its call: bounded, or why it was not.

ALTER TABLE limits ADD COLUMN unbounded text NOT NULL DEFAULT 'clamp' CHECK (unbounded IN ('clamp', 'deny', 'overshoot'));

-- '': no limit on tokens or money applied, so nobody asked.
ALTER TABLE usage_records ADD COLUMN bound text NOT NULL DEFAULT '';

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
         r.ingested_at, r.bound
  FROM usage_records r
  LEFT JOIN organizations o ON o.id = r.organization_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN virtual_keys k ON k.id = r.key_id;
