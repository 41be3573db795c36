/**
 * The statement that makes a month of records. Everything random in it comes from a hash of the record's number, so that
 * the same seed makes the same year, whatever plan Postgres takes.
 */

/** Random numbers in [0, 1) of a record: `u1` … , each from its own hash. */
const DRAWS = Array.from(
  { length: 9 },
  (_, index) => `(hashint8extended(n, $3::text::bigint + ${index}) & 1048575) / 1048576.0::float8 AS u${index + 1}`,
)

/** $1: the month as in `seed_profiles`, $2: JSON of [hour's first millisecond, calls], $3: the seed. */
export function recordsStatement(table: string): string {
  return `WITH profiles AS MATERIALIZED (
  SELECT p.*, sum(weight) OVER (ORDER BY place) / sum(weight) OVER () AS upto, rates IS NOT NULL AS is_priced,
    ARRAY(SELECT json_array_elements_text(tags)) AS tag_list,
    (rates->>0)::numeric AS r_in, (rates->>1)::numeric AS r_read, (rates->>2)::numeric AS r_write, (rates->>3)::numeric AS r_out
  FROM seed_profiles s, json_to_recordset(s.profile) AS p (place int, "organizationId" text, "projectId" text,
    "userId" text, "keyId" text, provider text, account text, model text, endpoint text, tool text, operation text,
    "isStream" boolean, tags json, "inputTokens" float8, "outputTokens" float8, cached float8, "durationMs" float8,
    weight float8, price_row text, rates json)
  WHERE s.month = $1::text
), bounds AS MATERIALIZED (
  SELECT array_agg(upto ORDER BY place) AS uptos FROM profiles
), hours AS (
  SELECT (h->>0)::bigint AS starts_at, (h->>1)::int AS calls FROM json_array_elements($2::text::json) h
), drawn AS (
  SELECT h.starts_at, n, ${DRAWS.join(", ")}
  FROM hours h CROSS JOIN LATERAL (SELECT h.starts_at + i AS n FROM generate_series(1, h.calls) i) numbers
), counted AS (
  SELECT d.starts_at + floor(u2 * 3600000)::bigint AS ms, n, u7, u8, u9, p.*,
    CASE WHEN u3 < 0.025 THEN 'error' WHEN u3 < 0.035 THEN 'aborted' ELSE 'ok' END AS result,
    least(120000, 1 + floor(-ln(1 - u4) * "inputTokens"))::bigint AS input,
    floor(-ln(1 - u5) * "outputTokens")::bigint AS output,
    10 + floor((0.2 - ln(1 - u6)) * "durationMs")::bigint AS took
  FROM drawn d CROSS JOIN bounds b
  JOIN profiles p ON p.place = least(width_bucket(u1, b.uptos) + 1, array_length(b.uptos, 1))
), metered AS (
  SELECT c.*, result <> 'error' AS is_used,
    CASE WHEN result = 'error' THEN 0 WHEN u7 < 0.7 THEN floor(input * cached)::bigint ELSE 0 END AS read,
    CASE WHEN result <> 'error' AND provider = 'anthropic' AND u7 > 0.9 THEN floor(input * cached)::bigint ELSE 0 END AS write
  FROM counted c
), priced AS (
  SELECT m.*, CASE WHEN is_used THEN input - read - write ELSE 0 END AS uncached, CASE WHEN is_used THEN output ELSE 0 END AS made
  FROM metered m
)
INSERT INTO ${table} (id, time, organization_id, project_id, user_id, key_id, end_customer, conversation, tool, operation,
  tags, endpoint, dialect, provider, provider_account, model_requested, model_routed, model_served, tier_served,
  provider_request_id, stream, attempts, outcome, end_state, http_status, error_code, usage_source, estimator,
  input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens, output_tokens, usage_raw, price_state, cost_usd,
  cost_source, price_row, duration_ms, ttft_ms, upstream_ms, overhead_us, request_bytes, response_bytes)
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(digest, 1, 3) || 'a' || substr(digest, 4, 15))::uuid,
  timestamptz 'epoch' + ms * interval '1 millisecond', "organizationId", "projectId", "userId", "keyId",
  CASE WHEN u8 < 0.6 THEN 'customer-' || floor(u8 * 8000)::int ELSE '' END,
  CASE WHEN u9 < 0.3 THEN 'talk-' || substr(digest, 20, 4) ELSE '' END,
  tool, operation, tag_list, endpoint,
  CASE provider WHEN 'anthropic' THEN 'anthropic' WHEN 'google' THEN 'google' ELSE 'openai' END, provider, account,
  model, model, model, '', 'req_' || substr(digest, 1, 12), "isStream",
  CASE WHEN u9 > 0.98 THEN jsonb_build_array(
    jsonb_build_object('provider', provider, 'account', 'spare', 'model', model, 'status', 503, 'started_ms', 1,
      'duration_ms', 40, 'provider_request_id', '', 'error', 'upstream_error'),
    jsonb_build_object('provider', provider, 'account', account, 'model', model, 'status', 200, 'started_ms', 60,
      'duration_ms', took - 60, 'provider_request_id', 'req_' || substr(digest, 1, 12), 'error', '')) ELSE '[]' END,
  result, CASE result WHEN 'ok' THEN 'complete' WHEN 'aborted' THEN 'client_abort' ELSE 'upstream_error' END,
  CASE result WHEN 'ok' THEN 200 WHEN 'aborted' THEN 0 WHEN 'error' THEN CASE WHEN u9 < 0.5 THEN 429 ELSE 500 END END,
  CASE result WHEN 'error' THEN 'upstream_error' ELSE '' END,
  CASE WHEN NOT is_used THEN 'none' WHEN result = 'aborted' AND u9 < 0.5 THEN 'estimated' ELSE 'provider' END,
  CASE WHEN is_used AND result = 'aborted' AND u9 < 0.5 THEN 'o200k' ELSE '' END,
  uncached, read, write, made,
  CASE WHEN is_used THEN jsonb_build_object('prompt_tokens', input, 'completion_tokens', made) END,
  CASE WHEN NOT is_used THEN 'free' WHEN is_priced THEN 'priced' ELSE 'unpriced' END,
  CASE WHEN NOT is_used THEN 0 WHEN is_priced
    THEN (uncached * r_in + read * r_read + write * r_write + made * r_out) / 1000000000000000000::numeric END,
  CASE WHEN is_used AND is_priced THEN 'book' ELSE '' END, CASE WHEN is_used THEN price_row ELSE '' END,
  took, CASE WHEN is_used THEN least(took, 20 + floor(took * 0.2))::bigint END, took - least(took, 5), 150 + floor(u7 * 400)::bigint,
  input * 4, made * 4
FROM (SELECT *, md5($3::text || n::text) AS digest FROM priced) p`
}
