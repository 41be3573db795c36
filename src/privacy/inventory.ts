/**
 * Every column of every table, sorted by whether it can hold something of a person. A test holds it against a migrated
 * database, so that a column that is added has to be sorted in, and another one holds what erasure leaves against it.
 */

/**
 * What becomes of a column when the person whom it is about is erased. `id stays`: an id that was minted here or by a
 * provider, which says nothing without the row that maps it. `forgotten`: goes by itself soon after. `kept`: needed so
 * that the person does not come back.
 */
export type OnErasure = "cleared" | "pseudonym" | "row goes" | "id stays" | "forgotten" | "kept"

/** By table and column. */
export const PERSONAL: Readonly<Record<string, Readonly<Record<string, OnErasure>>>> = {
  users: {
    id: "id stays",
    name: "cleared",
    email: "cleared",
    external_id: "cleared",
    password_hash: "cleared",
    oidc_subject: "cleared",
  },
  project_members: { user_id: "row goes" },
  role_grants: { user_id: "row goes" },
  virtual_keys: {
    user_id: "id stays",
    name: "cleared",
    external_id: "cleared",
    ip_allow: "cleared",
    tags: "cleared",
    metadata: "cleared",
  },
  sessions: {
    user_id: "row goes",
    key_id: "row goes",
    ip: "row goes",
    secret_sha256: "row goes",
    key_secret_sha256: "row goes",
    environment_mac: "row goes",
  },
  login_failures: { subject: "forgotten" },
  limits: { subject: "id stays" },
  limit_usage: { subject: "pseudonym" },
  limit_refusals: { subject: "pseudonym" },
  refusal_counts: { key_id: "id stays" },
  usage_records: {
    user_id: "id stays",
    key_id: "id stays",
    end_customer: "pseudonym",
    conversation: "cleared",
    metadata: "cleared",
    tags: "pseudonym",
    client_request_id: "cleared",
    charges: "pseudonym",
    provider_request_id: "id stays",
    provider_response_id: "id stays",
    attempts: "id stays",
  },
  usage_rollups: { user_id: "id stays", key_id: "id stays" },
  usage_series: { user_id: "id stays", key_id: "id stays" },
  usage_once: { source: "id stays", key: "forgotten", fingerprint: "forgotten", body: "pseudonym" },
  usage_holds: { key_id: "id stays", charges: "pseudonym" },
  provider_objects: { key_id: "id stays", id: "id stays", booking: "pseudonym" },
  alerts: { subject: "pseudonym", facts: "cleared" },
  alert_subjects: { subject: "pseudonym" },
  alert_deliveries: { user_id: "id stays", message: "cleared", last_error: "cleared", arrived: "cleared" },
  alert_channels: { recipients: "cleared" },
  digest_runs: { csv: "cleared" },
  audit_log: { actor: "id stays", subject: "id stays", ip: "cleared", before: "cleared", after: "cleared" },
  prices: { created_by: "id stays" },
  price_terms: { created_by: "id stays" },
  periods: { closed_by: "id stays" },
  erased_customers: { value_hmac: "kept", pending_value: "cleared", erased_by: "id stays" },
  erased_users: { user_id: "id stays", pending_words: "cleared", erased_by: "id stays" },
}

/** Why a table with personal columns is in no export; all others are in one. */
export const NOT_EXPORTED: Readonly<Record<string, string>> = {
  login_failures: "digests of what was typed at a log-in, which nobody can take back to a person, for an hour",
  usage_series: "the dimensions of usage_rollups once more, without sums",
  prices: "who set one stands in the audit log, which is exported",
  price_terms: "likewise",
  periods: "who closed one stands in the audit log, which is exported",
  digest_runs: "sums by key and project, of the same calls as usage_rollups",
  erased_customers: "says of nobody who it was",
  erased_users: "an id whose person is gone",
}

/** Columns without anything of a person, by table; `<name>_N` stands for numbered ones. */
export const NOT_PERSONAL: Readonly<Record<string, string>> = {
  admin_keys: "id name secret_sha256 last4 created_at revoked_at role scope scope_id expires_at",
  alert_channels:
    "id organization_id kind name host secret_ciphertext secret_nonce secret_key_id disabled_at created_at",
  alert_deliveries:
    "id organization_id rule_id channel_id state attempts next_attempt_at retry_until created_at delivered_at " +
    "digest_id",
  alert_rules: "id organization_id project_id kind name parameters channel_ids disabled_at created_at",
  alert_subjects: "rule_id organization_id limit_id last_told_at last_threshold",
  alerts:
    "organization_id limit_id window_id threshold_percent settled cap raised_at id rule_id state told_at " +
    "is_forecast",
  audit_log: "id at organization_id action",
  digest_runs: "digest_id period_id occasion created_at",
  digests: "id organization_id name period schedule time_zone channel_ids disabled_at due_from created_at",
  directory_version: "only_row version prices_version",
  erased_customers: "organization_id key_id pseudonym erased_at searched_at counters_due",
  erased_users: "organization_id erased_at",
  erasure_keys: "id inner_key outer_key created_at",
  journal_ack: "journal_id last_seq updated_at",
  ledger_identity: "only_row id restored_at",
  limit_refusals: "limit_id window_id refused shadowed",
  limit_seeds: "limit_id window_id starts_at ends_at subject added_at",
  limit_usage: "organization_id limit_id window_id settled updated_at seeded",
  limits:
    "id organization_id scope kind window cap time_zone anchor_day created_at on_store_failure each enforcement " +
    "thresholds raised_cap raised_until filter_tool filter_tag unbounded filter_model filter_endpoint " +
    "seeded_version seed slice_tokens",
  login_failures: "failures last_at",
  organizations: "id name is_default first_keys_at created_at external_id time_zone disabled_at usage_retention_days",
  period_lines:
    "organization_id period for_period project_id provider model project client cost_center records adjustments " +
    "unpriced_records input_uncached_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens " +
    "output_tokens cost_usd",
  periods: "organization_id period time_zone starts_at ends_at closed_at",
  price_terms:
    "id organization_id provider markup_percent discount_percent ceiling_input_usd ceiling_output_usd note " +
    "effective_from ended_at created_at",
  prices: "id organization_id provider model price source note effective_from ended_at created_at",
  project_members: "project_id created_at",
  projects:
    "id organization_id name created_at max_output_tokens max_input_tokens max_cost_nanos cap_policy external_id " +
    "client cost_center disabled_at key_defaults",
  provider_accounts:
    "provider name credential_ciphertext credential_nonce credential_key_id last4 weight region disabled_at " +
    "created_at credential_set_at",
  provider_objects: "provider kind organization_id project_id call_id created_at booked_at deleted_at account",
  providers:
    "name dialect base_url region priced_as include_usage models header_names headers_ciphertext headers_nonce " +
    "headers_key_id disabled_at created_at",
  proxy_instances: "id journal_id started_at seen_at",
  refusal_counts: "organization_id bucket code refusals",
  role_grants: "role scope scope_id created_at source",
  schema_migrations: "name checksum is_breaking code_version applied_at",
  sessions: "admin_key_id created_at expires_at",
  usage_day:
    "organization_id starts_at series_id records adjustments unpriced_records mismatch_records " +
    "input_uncached_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens " +
    "reasoning_tokens audio_input_tokens image_input_tokens audio_output_tokens image_output_tokens web_searches " +
    "units cost_usd duration_ms ttft_ms duration_bin_N ttft_bin_N time_zone",
  usage_day_dirty: "organization_id bucket",
  usage_day_fold: "organization_id starts_at ends_at day time_zone folded_at is_stale",
  usage_day_job: "organization_id",
  usage_forgotten: "organization_id before",
  usage_holds: "id organization_id expires_at",
  usage_once: "organization_id record_id record_time is_written claimed_at",
  usage_records:
    "id time kind adjusts_id organization_id project_id tool operation endpoint dialect provider provider_account " +
    "region billing model_requested model_routed model_served tier_requested tier_served stream outcome end_state " +
    "http_status error_code cut_by usage_source estimator input_uncached_tokens cache_read_tokens " +
    "cache_write_5m_tokens cache_write_1h_tokens output_tokens reasoning_tokens audio_input_tokens " +
    "image_input_tokens audio_output_tokens image_output_tokens web_searches units unit_type usage_mismatch " +
    "usage_raw price_state cost_usd cost_source price_row provider_cost_usd duration_ms ttft_ms upstream_ms " +
    "overhead_us request_bytes response_bytes journal_id journal_seq ingested_at bound book_cost_usd base_cost_usd",
  usage_rollups:
    "organization_id bucket project_id provider_account provider model_served endpoint tool operation tier_served " +
    "outcome stream usage_source records adjustments unpriced_records mismatch_records input_uncached_tokens " +
    "cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens reasoning_tokens " +
    "audio_input_tokens image_input_tokens audio_output_tokens image_output_tokens web_searches units cost_usd " +
    "charged_nanos duration_ms ttft_ms duration_histogram ttft_histogram price_row",
  usage_series:
    "id organization_id project_id provider_account provider model_served endpoint tool operation tier_served " +
    "outcome stream usage_source price_row",
  users: "organization_id created_at kind disabled_at",
  virtual_keys:
    "id organization_id project_id secret_sha256 last4 allowed_models expires_at revoked_at created_at " +
    "allowed_endpoints unmetered attribute_users max_output_tokens max_input_tokens max_cost_nanos cap_policy " +
    "rotated_at previous_secret_sha256 previous_valid_until",
}
